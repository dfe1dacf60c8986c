"""Finds the places that a configuration names: ``~`` is the user's home, and a package of the user's is there."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from mmf.utils.general import get_absolute_path
from omegaconf import DictConfig, OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.inference.user_packages import import_user_package

logger = logging.getLogger(__name__)

#: Keys that hold a file or a folder, and that MMF and others take letter by letter.
_PLACES = (
    "config",
    *(f"env.{name}" for name in ("save_dir", "report_dir", "log_dir", "tensorboard_logdir", "wandb_logdir")),
    *(f"env.{name}" for name in ("user_dir", "data_dir", "cache_dir", "model_zoo")),
    *("checkpoint.resume_file", "checkpoint.resume_zoo", "evaluation.score_store"),
)


def expand_home(place: Any) -> Any:
    """Return a place with the home folder for a leading ``~``; what is no text as it is."""
    return os.path.expanduser(place) if isinstance(place, str) and place.startswith("~") else place


def expand_homes(config: DictConfig) -> None:
    """Put the home folder for ``~`` in the places of a configuration, which no shell does behind an ``=``.

    Args:
        config: MMF's, complete; it is changed.
    """
    for key in _PLACES:
        place = OmegaConf.select(config, key)
        if expand_home(place) != place:
            OmegaConf.update(config, key, expand_home(place), merge=False)


def find_user_dir(location: str) -> str:
    """Return ``env.user_dir`` as MMF can import it: without ``~``, a slash at its end, or a dot before it.

    A Python file is imported here, which MMF's release cannot.

    Args:
        location: as configured, or as ``MMF_USER_DIR`` has it.

    Returns:
        The place to import; empty where nothing is left to import.

    Raises:
        ConfigurationError: if there is no such folder, or another module has its name.
    """
    place = os.path.normpath(expand_home(location))
    place = os.path.abspath(place) if place.startswith(".") else place
    found = Path(str(get_absolute_path(place)))
    # MMF's main imports a bare name as one that is on the path already, which the working directory need not be.
    place = place if os.sep in place else str(found)
    if found.is_file() and found.suffix == ".py":
        import_user_package(found)
        return ""
    if not found.is_dir():
        raise ConfigurationError(
            f"env.user_dir is '{location}': no such folder; expected a folder with an __init__.py, or a file that "
            "ends in .py"
        )
    if not (found / "__init__.py").is_file():
        logger.warning("env.user_dir=%s has no __init__.py: nothing in it is imported", location)
        return place
    known = getattr(sys.modules.get(found.name), "__file__", None)
    if found.name in sys.modules and Path(known or "").resolve() != (found / "__init__.py").resolve():
        raise ConfigurationError(
            f"env.user_dir is '{location}': another module is called '{found.name}' already; rename the folder"
        )
    return place
