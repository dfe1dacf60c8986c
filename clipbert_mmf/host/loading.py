"""Loads MMF's modules: old import names are redirected inside MMF alone, and shims are applied as modules arrive.

A module of MMF gets its own ``__builtins__`` whose ``__import__`` consults ``standins.REDIRECTS``. So MMF finds
``transformers.modeling_bert`` where the library has it today, and nobody else sees an alias: neither ``sys.modules``
nor a library is touched. When a module has run, the shims listed for it in ``shims.SHIMS`` mend what is left.
"""

from __future__ import annotations

import builtins
import importlib
import logging
import os
import sys
from types import ModuleType

from clipbert_mmf.host import hook
from clipbert_mmf.host.shims import SHIMS, SOURCE_EDITS
from clipbert_mmf.host.standins import find_standin

logger = logging.getLogger(__name__)

#: Names of shims and stand-ins to leave out, comma separated; the tests prove with it that each one is needed.
SKIP = "CLIPBERT_MMF_SKIP_SHIMS"


def skipped() -> set[str]:
    """Return the names that ``CLIPBERT_MMF_SKIP_SHIMS`` lists."""
    return set(filter(None, os.environ.get(SKIP, "").split(",")))


def find_mmf_spec(fullname: str, path, target):
    """Ask the other finders for an MMF module and wrap its loader."""
    for finder in sys.meta_path:
        if finder is hook.MmfFinder or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(fullname, path, target)
        if spec is not None:
            if spec.loader is not None:
                spec.loader = ShimLoader(spec.loader)
            return spec
    return None


class ShimLoader:
    """The module's own loader, with redirected imports before and shims after it runs."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        if name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        """Leave the creation to the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then its shims; after ``mmf`` itself, register the plugin."""
        skip = skipped()
        module.__dict__["__builtins__"] = redirected_builtins()
        edit = SOURCE_EDITS.get(module.__name__)
        if edit is None or edit.__name__ in skip:
            self._loader.exec_module(module)
        else:
            source = edit(self._loader.get_source(module.__name__))
            exec(compile(source, module.__file__, "exec", dont_inherit=True), module.__dict__)
        for shim in SHIMS.get(module.__name__, ()):
            if shim.__name__ not in skip:
                shim(module)
        if module.__name__ == "mmf":
            register_plugin()


def redirected_builtins() -> dict:
    """Return builtins whose ``__import__`` knows the stand-ins."""
    skip = skipped()
    plain_import = builtins.__import__

    def import_for_mmf(name, globals=None, locals=None, fromlist=(), level=0):
        if level == 0:
            standin = find_standin(name, skip)
            if standin is not None:
                return standin if fromlist or "." not in name else find_standin(name.partition(".")[0], skip)
        return plain_import(name, globals, locals, fromlist, level)

    return {**vars(builtins), "__import__": import_for_mmf}


def register_plugin() -> None:
    """Import the adapters, which register themselves; MMF must be imported."""
    importlib.import_module("clipbert_mmf.plugin.registration")
