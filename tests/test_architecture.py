"""Which room may import which: the inner rooms know nothing of MMF, and data flows one way."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "clipbert_mmf"
HOST = {"mmf", "mmf_cli", "omegaconf"}
DATA = {"video", "transforms", "datasets", "processors"}
#: Room -> (top-level packages it must not import, our rooms it must not import).
FORBIDDEN = {
    "shapes.py": (HOST, {"*"}),
    "paths.py": (HOST, {"*"}),
    "tables.py": (HOST, {"*"}),
    "video": (
        HOST | {"transformers"},
        {"transforms", "datasets", "processors", "models", "modules", "scoring"},
    ),
    "transforms": (HOST | {"av", "decord", "lmdb"}, {"video", "datasets", "processors", "models", "modules"}),
    "datasets/annotations": (
        HOST | {"av", "decord", "lmdb"},
        {"video", "processors", "models", "modules", "scoring"},
    ),
    "datasets/specs.py": (HOST, {"video", "processors", "models"}),
    "datasets/grouping.py": (HOST, {"video", "processors", "models"}),
    "datasets/tasks.py": (HOST | {"av", "decord"}, {"video", "processors", "models"}),
    "datasets/predictions.py": (HOST | {"av", "decord"}, {"video", "processors", "models"}),
    "datasets/layouts.py": (HOST | {"av", "decord"}, {"video", "processors", "models"}),
    "datasets/skeleton.py": (HOST | {"av", "decord"}, {"video", "processors", "models"}),
    "datasets/sources.py": (HOST, {"video", "processors", "models"}),
    "datasets/vocabulary.py": (HOST, {"video", "processors", "models"}),
    "settings.py": (HOST, {"*"}),
    "datasets/failures.py": (HOST, {"video", "processors", "models"}),
    "datasets/dataset.py": ({"av", "decord", "lmdb"}, {"video", "processors", "models", "modules"}),
    "datasets/builder.py": ({"av", "decord", "lmdb"}, {"video", "processors", "models", "modules"}),
    "modules": (HOST | {"av", "decord"}, DATA | {"models", "host"}),
    "scoring": (HOST | {"av", "decord"}, DATA | {"models", "host", "modules"}),
    "weights": (HOST | {"av", "decord"}, DATA | {"models", "host"}),
    "retrieval": (HOST | {"av", "decord"}, DATA | {"host", "inference", "losses", "metrics"}),
    "inference": (HOST, {"processors", "host", "losses", "metrics"}),
    "commands": (HOST, {"processors", "host", "losses", "metrics"}),
    "report": (HOST, {"processors", "host", "losses", "metrics"}),
    "demo": (HOST | {"av", "decord"}, {"processors", "host", "losses", "metrics", "commands"}),
    # What the page can do is tested without the web.
    "demo/shelf.py": (HOST | {"flask", "waitress"}, {"processors", "host", "losses", "metrics", "commands"}),
    "demo/jobs.py": (HOST | {"flask", "waitress"}, {"*"}),
    "demo/pictures.py": (
        HOST | {"flask", "waitress"},
        {"processors", "host", "losses", "metrics", "commands"},
    ),
    "demo/records.py": (
        HOST | {"flask", "waitress"},
        {"processors", "host", "losses", "metrics", "commands"},
    ),
    "demo/questions.py": (
        HOST | {"flask", "waitress"},
        {"processors", "host", "losses", "metrics", "commands"},
    ),
    "models/assembly.py": (HOST | {"av", "decord"}, DATA | {"host"}),
    "optim/param_groups.py": (HOST, DATA | {"models", "host"}),
    "processors": (set(), {"models", "datasets", "modules", "scoring"}),
    "models/joint_losses.py": (HOST | {"av", "decord"}, DATA | {"host"}),
    "models/multitask.py": (HOST | {"av", "decord"}, DATA | {"host"}),
    "models/network.py": (HOST | {"av", "decord"}, DATA | {"host"}),
    "models/clipbert.py": ({"av", "decord"}, DATA),
    "losses.py": ({"av", "decord"}, {"models", "datasets", "video"}),
    "metrics.py": ({"av", "decord"}, {"models", "datasets", "video"}),
}


def files_of(room: str) -> list[Path]:
    path = PACKAGE / room
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_imports_only_what_it_may(room):
    libraries, rooms = FORBIDDEN[room]
    files = files_of(room)
    assert files, f"{room} is empty"
    for path in files:
        for name in imported_names(path):
            top, _, rest = name.partition(".")
            assert top not in libraries, f"{path.relative_to(PACKAGE)} imports {name}"
            if top == "clipbert_mmf":
                other = rest.partition(".")[0]
                assert other not in rooms and "*" not in rooms, f"{path.relative_to(PACKAGE)} imports {name}"


def test_nothing_in_the_package_prints_or_imports_tools_and_tests():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not {name.partition(".")[0] for name in imported_names(path)} & {"tools", "tests"}, path
        prints = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
        ]
        is_program = path.name in {"check.py", "build.py"}
        assert is_program or not prints, f"{path.relative_to(PACKAGE)}:{prints} prints"


def test_every_module_says_what_happens_there():
    silent = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
