"""Imports packages that only some users need; each is an optional extra of this package."""

from __future__ import annotations

import importlib
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
        raise ImportError(f"{need}{reason}: pip install 'clipbert_mmf[{extra}]'") from error
