"""Imports point down ORDER; only plugin and host know MMF; host stands outside; no circles."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ORDER = """shapes paths tables extras json_text shown_text version configuration processes writing
    < video transforms annotations scoring modules optim
    < tasks models weights < retrieval < inference training < library < report demo < plugin cli extending"""
LEVEL = {name: level for level, names in enumerate(ORDER.split("<")) for name in names.split()} | {"": 0}
EXCEPTIONS = {
    " imports host.hook",  # Importing the package puts the import hook in place.
    "host.hook imports processes",  # Threads are told how to wait before MMF imports PyTorch; imported then.
    "host.loading imports processes",  # Garbage is collected after an import of MMF, not ten times during it.
    "host.loading imports plugin.registration",  # Importing MMF registers the plugin; named as text, imported then.
    "host.shims.startup imports plugin.run_folder",  # MMF asks before it writes; named as text, imported then.
    # They replace MMF's reading of command lines; named as text, imported when MMF builds a configuration.
    "host.shims.config imports plugin.command_line",
    "host.shims.config imports plugin.run_checks",
    "host.shims.config imports plugin.places",
    "host.shims.startup imports plugin.places",  # MMF asks where a user's package is; named as text too.
    "host.shims.config imports paths",  # MMF finds our configurations; named as text, imported when it looks for one.
}


def list_imports(folder: str) -> dict[str, set[str]]:
    imports: dict[str, set[str]] = {}
    for path in (ROOT / folder).rglob("*.py"):
        name = ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
        names = imports.setdefault(name.removesuffix("__init__").rstrip("."), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Constant) and re.fullmatch(r"clipbert_mmf(\.\w+)+", str(node.value)):
                names.add(str(node.value))
    return imports


def find_module(name: str) -> str:
    return name if name in IMPORTS else find_module(name.rpartition(".")[0])


IMPORTS = list_imports("clipbert_mmf")
OURS = {
    module: {name[13:] for name in names if name[:12] == "clipbert_mmf"} for module, names in IMPORTS.items()
}
EDGES = {module: {*map(find_module, names)} - {module} for module, names in OURS.items()}


def is_allowed(module: str, other: str) -> bool:
    mine, its = module.partition(".")[0], other.partition(".")[0]
    return mine in ("host", "plugin") if its == "host" else LEVEL.get(mine, -1) >= LEVEL[its]


def test_imports_point_down():
    assert {f"{a} imports {b}" for a in EDGES for b in EDGES[a] if not is_allowed(a, b)} <= EXCEPTIONS


def test_only_plugin_and_host_and_their_tests_import_mmf():
    for module, names in [*IMPORTS.items(), *list_imports("tests").items()]:
        if module.partition(".")[0] in LEVEL.keys() - {"plugin"}:
            assert not {"mmf", "mmf_cli", "omegaconf"} & {name.partition(".")[0] for name in names}, module


def test_modules_do_not_import_each_other_in_a_circle():
    TopologicalSorter(EDGES).prepare()
