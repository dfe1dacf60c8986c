"""Finds ``configs/`` and ``projects/``: in a checkout beside the package, in a wheel inside it.

MMF wants absolute paths from ``config_path()``, because its search order differs between its versions.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BUNDLED = _PACKAGE / "_bundled"


def _find(name: str) -> Path:
    for root in (_BUNDLED, _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(
        f"'{name}/' is neither in {_BUNDLED} (an installed wheel) nor in {_PACKAGE.parent} (a checkout); "
        f"reinstall clipbert_mmf with pip"
    )


def config_dir() -> Path:
    """Return the absolute path of ``configs/`` (models and datasets).

    Raises:
        FileNotFoundError: if the installation lost its configuration files.
    """
    return _find("configs")


def project_dir() -> Path:
    """Return the absolute path of ``projects/`` (how we train).

    Raises:
        FileNotFoundError: if the installation lost its configuration files.
    """
    return _find("projects")
