"""Notices the first ``import mmf`` of a process and only then loads the compatibility patches.

``clipbert_mmf.pth`` imports this module when an interpreter starts, so it must stay this small: ``mmf_run``
imports MMF before it knows of any plugin, and workers and spawned children start as bare interpreters too.
The environment variable ``CLIPBERT_MMF_HOST=0`` switches it off.
"""

import os
import sys

# Importing these would slow every interpreter down; annotations are text, so that only a type checker needs
# them.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

OFF_SWITCH = "CLIPBERT_MMF_HOST"
#: Packages with modules that MMF brings and ``late_imports`` lists.
_LATE_IMPORTERS = ("transformers.generation.", "transformers.loss.")


class MmfFinder:
    """A finder for ``mmf`` and its submodules.

    Every other import passes at the cost of a string comparison.
    """

    @staticmethod
    def find_spec(
        fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the spec of an MMF module with our loader around its own, or None."""
        if fullname == "mmf_cli":
            _prepare_command()
        if fullname != "mmf" and not fullname.startswith("mmf."):
            if not fullname.startswith(_LATE_IMPORTERS) or "mmf" not in sys.modules:
                return None
            from clipbert_mmf.host.late_imports import LATE_IMPORTS

            if fullname not in LATE_IMPORTS:
                return None
        if fullname == "mmf" and sys.meta_path[0] is not MmfFinder and MmfFinder in sys.meta_path:
            # pytest puts itself first and takes every file named test_*, MMF's test_reporter.py too.
            sys.meta_path.remove(MmfFinder)
            sys.meta_path.insert(0, MmfFinder)
        from clipbert_mmf.processes import let_idle_threads_sleep, pause_garbage_collection

        if fullname == "mmf":
            # Before PyTorch, which the next import brings.
            let_idle_threads_sleep()
        with pause_garbage_collection():
            from clipbert_mmf.host.loading import find_wrapped_spec

        others = [finder for finder in sys.meta_path if finder is not MmfFinder]
        return find_wrapped_spec(fullname, path, target, others)


def _prepare_command() -> None:
    """Do what must come before PyTorch, which ``mmf_run`` and ``mmf_predict`` import before they import MMF."""
    from clipbert_mmf.processes import let_idle_threads_sleep, pause_garbage_collection

    let_idle_threads_sleep()
    with pause_garbage_collection():
        import torch  # noqa: F401


def install() -> None:
    """Put the finder in place, once; register the plugin at once where MMF was imported before us."""
    if os.environ.get(OFF_SWITCH) == "0" and "mmf" not in sys.modules:
        return
    if os.environ.get(OFF_SWITCH) != "0" and MmfFinder not in sys.meta_path:
        sys.meta_path.insert(0, MmfFinder)
    mmf = sys.modules.get("mmf")
    if mmf is not None and hasattr(mmf, "__version__"):
        from clipbert_mmf.host.loading import register_plugin

        register_plugin()
