"""Loads MMF's modules: old import names are redirected inside MMF alone, and shims are applied as modules arrive.

A module of MMF gets its own ``__builtins__`` whose ``__import__`` consults ``standins.STANDINS``. So MMF
finds ``transformers.modeling_bert`` where the library has it today, and nobody else sees an alias: neither
``sys.modules`` nor a library is touched. When a module has run, the shims that ``shims.table`` lists for it
are applied.
"""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from clipbert_mmf.host.late_imports import LATE_IMPORTS, delay_imports
from clipbert_mmf.host.late_modules import delay_submodules, is_late, run_late_module
from clipbert_mmf.host.shims.table import find_shims, find_source_edits
from clipbert_mmf.host.skipped import read_skipped_names
from clipbert_mmf.host.standins import find_standin
from clipbert_mmf.processes import pause_garbage_collection

#: Imported once MMF is there; a name, because this package must not know ours.
PLUGIN = "clipbert_mmf.plugin.registration"


def find_wrapped_spec(
    fullname: str, path: Sequence[str] | None, target: ModuleType | None, finders: Iterable[Any]
) -> ModuleSpec | None:
    """Return the spec of a module with one of our loaders around its own; None where no finder has it.

    Args:
        fullname: dotted name of a module of MMF or of ``LATE_IMPORTS``.
        path: ``__path__`` of its package.
        target: the module to reload, if any.
        finders: the entries of ``sys.meta_path`` to ask, ours excluded.
    """
    wrap = ShimLoader if fullname.partition(".")[0].startswith("mmf") else LateLoader
    for finder in finders:
        spec = finder.find_spec(fullname, path, target) if hasattr(finder, "find_spec") else None
        if spec is not None:
            if spec.loader is not None:
                spec.loader = wrap(spec.loader)
            return spec
    return None


class _WrappedLoader:
    """A module's own loader, for all that a subclass does not do in another way.

    Args:
        loader: the module's own.
    """

    def __init__(self, loader: Any):
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the creation to the module's own loader."""
        return self._loader.create_module(spec)


class LateLoader(_WrappedLoader):
    """Loads a module of ``LATE_IMPORTS`` with delayed imports."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        delayed = delay_imports(builtins.__import__, module.__name__)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": delayed}
        self._loader.exec_module(module)


class ShimLoader(_WrappedLoader):
    """Loads a module of MMF with redirected imports before and shims after it runs."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then its shims; after ``mmf`` itself, register the plugin."""
        with pause_garbage_collection():
            if is_late(module.__name__):
                with run_late_module(module.__name__):
                    self._exec_module(module)
            else:
                self._exec_module(module)

    def _exec_module(self, module: ModuleType) -> None:
        skip = read_skipped_names()
        module.__dict__["__builtins__"] = make_redirected_builtins(module.__name__)
        edits = [edit for edit in find_source_edits(module.__name__) if edit.__name__ not in skip]
        if edits:
            source = self._loader.get_source(module.__name__)
            for edit in edits:
                source = edit(source)
            exec(compile(source, str(module.__file__), "exec", dont_inherit=True), module.__dict__)
        else:
            self._loader.exec_module(module)
        for shim in find_shims(module.__name__):
            if shim.__name__ not in skip:
                shim(module)
        if module.__name__ == "mmf":
            register_plugin()


def make_redirected_builtins(importer: str = "") -> dict[str, Any]:
    """Return builtins whose ``__import__`` knows the stand-ins, and what the module ``importer`` imports late."""
    skip = read_skipped_names()
    late = LATE_IMPORTS.get(importer, {})
    plain_import = delay_imports(builtins.__import__, importer)
    if importer == "mmf.models":
        plain_import = delay_submodules(plain_import, importer)

    def import_for_mmf(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType | None:
        if level == 0 and name not in late:
            standin = find_standin(name, skip)
            if standin is not None:
                return standin if fromlist or "." not in name else find_standin(name.partition(".")[0], skip)
        return plain_import(name, globals, locals, fromlist, level)

    return {**vars(builtins), "__import__": import_for_mmf}


def register_plugin() -> None:
    """Import the plugin, whose modules register themselves; MMF must be imported."""
    importlib.import_module(PLUGIN)
