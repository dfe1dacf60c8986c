"""Tells the two versions of MMF apart."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Literal

MmfVersion = Literal["release", "main"]


@functools.cache
def mmf_version() -> MmfVersion:
    """Return ``release`` for 1.0.0rc10 of PyPI, ``main`` for 1.0.0rc12, the repository's main branch.

    Main split the trainer into ``trainers/core``; the release has one file. The answer needs no import of
    MMF.

    Raises:
        ModuleNotFoundError: if MMF is not installed.
    """
    spec = importlib.util.find_spec("mmf")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("MMF is not installed; run: clipbert install-mmf")
    root = Path(next(iter(spec.submodule_search_locations)))
    return "main" if (root / "trainers" / "core").is_dir() else "release"
