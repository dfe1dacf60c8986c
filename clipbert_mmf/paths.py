"""Finds ``configs/`` and ``projects/`` (in a checkout beside the package, in a wheel inside it), and files of packages.

MMF wants absolute paths from ``config_path()``, because its search order differs between its versions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
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


def find_config(location: str | Path) -> Path | None:
    """Return the file or folder of ours that ``projects/...`` or ``configs/...`` means; None for anything else.

    A checkout's user has them in the working directory, a wheel's user has them nowhere in sight.
    """
    for folder in (project_dir(), config_dir()):
        if Path(location).parts[:1] == (folder.name,) and (folder.parent / location).exists():
            return folder.parent / location
    return None


#: Beginning of a location inside an installed package: ``pkg:<package>/<path>``.
PACKAGE_PREFIX = "pkg:"


def find_in_package(location: str, where: str, patterns: Sequence[str]) -> Path:
    """Return the file or folder of an installed package; its code is not run.

    Args:
        location: ``pkg:<package>/<path>``. A path to a folder, or none, means the one file below it.
        where: dotted key or option that holds the location, for messages.
        patterns: names of the files that are wanted. Of names without ``*`` the folder is returned, which
            holds others beside it.

    Raises:
        FileNotFoundError: if the package is not installed, or has no such file, or several.
    """
    package, _, inner = location.removeprefix(PACKAGE_PREFIX).partition("/")
    name = package.replace("-", "_")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"{where} is '{location}': no package '{name}' is installed; pip install "
            f"{name.replace('_', '-')}, or write pkg:<package>/<path of the file in it>"
        )
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    path = (root / inner).resolve()
    if path.is_file() and path.is_relative_to(root):
        return path
    folder = path if path.is_dir() and path.is_relative_to(root) else root
    found = [file for pattern in patterns for file in sorted(folder.rglob(pattern))]
    chosen = {
        file if "*" in pattern else file.parent for pattern in patterns for file in folder.rglob(pattern)
    }
    if path.is_dir() and len(chosen) == 1:
        return chosen.pop()
    listed = ", ".join(f"pkg:{name}/{file.relative_to(root)}" for file in found[:6])
    raise FileNotFoundError(
        f"{where} is '{location}': "
        + ("no such file" if not path.is_dir() else "several files" if found else "no file of this kind")
        + (f"; the package has {listed}" if listed else f" in {root}")
    )
