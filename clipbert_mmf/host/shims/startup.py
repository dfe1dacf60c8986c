"""Compatibility patches for how MMF imports its own modules and those of transformers."""

from __future__ import annotations

import functools
import glob
import importlib
import os
import sys
from types import SimpleNamespace
from typing import Any

from clipbert_mmf.host.late_modules import find_waiting_names, import_or_wait, make_sections_late

#: Decide what a run may do with its folder, and where a user's package is; names, because this package must not
#: know ours.
RUN_FOLDER, PLACES = "clipbert_mmf.plugin.run_folder", "clipbert_mmf.plugin.places"


def skip_importing_all_transformers(module: Any) -> None:
    """Make ``patch_transformers`` do nothing.

    It imports every model of transformers (6 s and more) to alias their old names. Only the names MMF imports
    are needed, and ``standins`` has them. Remove when main imports the new names itself.
    """
    module.patch_transformers = lambda *args, **kwargs: None


def import_from_any_directory(module: Any) -> None:
    """Let ``setup_imports`` sort MMF's files by their place inside MMF.

    The release sorts them by words in their full path, so MMF installed below a directory named ``models`` or
    ``trainers`` imports the wrong modules. Remove with the release.
    """

    def setup_imports() -> None:
        registry = importlib.import_module("mmf.common.registry").registry
        if registry.get("imports_setup", no_warning=True):
            return
        root = os.path.dirname(os.path.dirname(os.path.abspath(module.__file__)))
        registry.register("pythia_path", root)
        for pattern in ("datasets/builders/*/*builder.py", "models/*.py", "trainers/*.py"):
            for path in sorted(glob.glob(os.path.join(root, pattern))):
                name = os.path.relpath(path, root)[: -len(".py")].replace(os.sep, ".")
                import_or_wait("mmf." + name.removesuffix(".__init__"))
        registry.register("imports_setup", True)

    module.setup_imports = setup_imports


def import_models_late(module: Any) -> None:
    """Import MMF's models when they are asked for, not at start; see ``late_modules``.

    Remove when ``import mmf`` no longer imports every model.
    """
    if module.__name__ == "mmf.common.registry":
        make_sections_late(module.registry.mapping)
    elif module.__name__ == "mmf.utils.env":
        # ``setup_imports`` of main imports by it.
        module.importlib = SimpleNamespace(**{**vars(importlib), "import_module": import_or_wait})
    else:
        find_waiting_names(module)


def find_user_dir(module: Any) -> None:
    """Find ``env.user_dir`` before MMF imports it, and say what is wrong with it.

    MMF takes a slash at its end for an empty name, skips a folder with the name of any module that is there, and
    the release imports no file. Remove when MMF imports a package by its path.
    """
    load = module.import_user_module

    @functools.wraps(load)
    def import_user_module(user_dir: Any, *args: Any, **kwargs: Any) -> None:
        place = importlib.import_module(PLACES).find_user_dir(str(user_dir)) if user_dir else ""
        if place:
            load(place, *args, **kwargs)

    module.import_user_module = import_user_module


def settle_run_folder(module: Any) -> None:
    """Check the run's folder when the configuration is complete, before MMF opens its log there.

    MMF lets a run write into the folder of another one. Remove when MMF refuses that.
    """
    build = module.build_config

    @functools.wraps(build)
    def build_config(*args: Any, **kwargs: Any) -> Any:
        config = build(*args, **kwargs)
        # ``main`` of ``mmf_cli.run`` calls this, and tells only the trainer whether it is to predict.
        predict = bool(sys._getframe(1).f_locals.get("predict", False))
        importlib.import_module(RUN_FOLDER).settle_run_folder(config, predict)
        return config

    module.build_config = build_config
