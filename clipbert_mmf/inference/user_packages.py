"""Imports a user's package, so that the heads, folds, decoders and tasks that it registers are known.

MMF does the same with ``env.user_dir``; a package that MMF has imported is not imported again, and the other
way round.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType


class UserPackageError(ImportError):
    """A user's package that is not there or cannot be imported; the message names its path and the reason."""


class PickledPackage:
    """Stands for a user's package in a pickle: reading the pickle imports the package.

    Put it before what may be of the package. A data worker that is started by spawn or forkserver knows
    nothing that its parent has imported.

    Args:
        location: as ``import_user_package`` takes it, absolute.
    """

    def __init__(self, location: str | Path):
        self.location = str(location)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """Return the call that takes the object's place."""
        return import_user_package, (self.location,)


def import_user_package(location: str | Path) -> ModuleType:
    """Import a package by its path; ``sys.path`` stays as it is.

    Args:
        location: folder with an ``__init__.py``, or a Python file.

    Returns:
        The module, under the name of its folder or file.

    Raises:
        UserPackageError: if it is neither, if another module has its name, or if its code raises an error.
    """
    path = Path(location).expanduser().resolve()
    file = path / "__init__.py" if path.is_dir() else path
    if not file.is_file() or file.suffix != ".py":
        raise UserPackageError(
            f"user package '{location}': expected a folder with an __init__.py, or a file that ends in .py"
        )
    name = path.stem if path.is_file() else path.name
    known = sys.modules.get(name)
    if known is not None:
        if Path(getattr(known, "__file__", None) or "").resolve() == file:
            return known
        raise UserPackageError(
            f"user package '{location}': another module is called '{name}' already; rename the package"
        )
    folders = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise UserPackageError(f"user package '{location}': {file} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserPackageError(
            f"user package '{location}' cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return module
