"""Imports packages that only some users need; each is an optional extra of this package."""

from __future__ import annotations

import importlib
import shlex
from importlib import metadata
from typing import Any


def import_extra(module: str, extra: str, need: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: name of the module.
        extra: extra of ``clipbert_mmf`` that installs it.
        need: who needs it, as the start of the error's sentence, such as ``"a Parquet file needs PyArrow"``.

    Raises:
        ImportError: if it is not installed; says what to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise ImportError(f"{need}{reason}: pip install {_list_requirements(module, extra)}") from error


def _list_requirements(module: str, extra: str) -> str:
    """Return what an extra installs, as a shell takes it; this package is on no index to be asked for its extras."""
    try:
        lines = [line.replace("'", '"') for line in metadata.requires("clipbert_mmf") or ()]
    except metadata.PackageNotFoundError:
        lines = []
    found = [line.partition(";")[0].strip() for line in lines if f'extra == "{extra}"' in line]
    return shlex.join(found or [module.partition(".")[0]])
