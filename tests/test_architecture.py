"""The folders say who may import whom: imports point down ORDER, and only plugin and host know MMF."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The rightmost may import all. ``host`` stands outside: it imports nothing of ours, and only ``plugin`` imports it.
ORDER = """shapes paths tables version configuration < video transforms annotations scoring modules optim
    < tasks models weights < retrieval < inference training < library < report demo < plugin cli extending"""
LEVEL = {name: level for level, names in enumerate(ORDER.split("<")) for name in names.split()} | {"": 0}
MMF = {"mmf", "mmf_cli", "omegaconf"}
EXCEPTIONS = {
    " imports host.hook",  # Importing the package puts the import hook in place.
    "host.loading imports plugin.registration",  # Importing MMF registers the plugin; named as text, imported then.
    "host.shims.config imports paths",  # MMF finds our configurations; named as text, imported when it looks for one.
}
# TEMPORARY, until the layout is complete: these tests move, or use plain dictionaries.
EXCEPTIONS |= {
    "tasks.test_datasets imports mmf",
    "weights.test_loading imports omegaconf",
}


def list_imports(folder: str) -> dict[str, set[str]]:
    """Map each module ("" is the package itself) to the names that it imports, or holds as text if they are ours."""
    imports: dict[str, set[str]] = {}
    for path in (ROOT / folder).rglob("*.py"):
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        names = imports.setdefault(".".join(parts).removesuffix("__init__").rstrip("."), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                names.update(prefix + alias.name for alias in node.names)
            elif isinstance(node, ast.Constant) and re.fullmatch(r"clipbert_mmf(\.\w+)+", str(node.value)):
                names.add(str(node.value))
    return imports


def find_module(name: str) -> str:
    return name if name in IMPORTS else find_module(name.rpartition(".")[0])


IMPORTS = list_imports("clipbert_mmf")
EDGES = {
    module: {find_module(name[13:]) for name in names if name[:12] == "clipbert_mmf"} - {module}
    for module, names in IMPORTS.items()
}


def is_allowed(module: str, other: str) -> bool:
    mine, its = module.partition(".")[0], other.partition(".")[0]
    return mine in ("host", "plugin") if its == "host" else LEVEL.get(mine, -1) >= LEVEL[its]


def test_imports_point_down():
    lines = {f"{a} imports {b}" for a, others in EDGES.items() for b in others if not is_allowed(a, b)}
    assert lines - EXCEPTIONS == set()


def test_only_plugin_and_host_and_their_tests_import_mmf():
    every = [*IMPORTS.items(), *list_imports("tests").items()]
    core = [(a, names) for a, names in every if a.partition(".")[0] in LEVEL.keys() - {"plugin"}]
    lines = {
        f"{a} imports {b}" for a, names in core for b in {name.partition(".")[0] for name in names} & MMF
    }
    assert lines - EXCEPTIONS == set()


def test_modules_do_not_import_each_other_in_a_circle():
    TopologicalSorter(EDGES).prepare()
