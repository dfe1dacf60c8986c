"""Tells the two MMFs apart."""

from __future__ import annotations

import importlib.util


def mmf_flavour() -> str:
    """Return ``release`` for the PyPI release 1.0.0rc10, ``main`` for the repository's main branch.

    Main split the trainer into ``trainers/core``; the release has one file. The answer needs no import of MMF.

    Raises:
        ModuleNotFoundError: if MMF is not installed.
    """
    spec = importlib.util.find_spec("mmf")
    if spec is None:
        raise ModuleNotFoundError("MMF is not installed; run: python tools/install_mmf.py")
    from pathlib import Path

    root = Path(next(iter(spec.submodule_search_locations)))
    return "main" if (root / "trainers" / "core").is_dir() else "release"
