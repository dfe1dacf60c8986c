"""Finds the folder of real files, which is not part of the project but may lie beside or above a checkout."""

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent
#: A folder that is not there where the files are not.
REAL_DATA = next(
    (folder for parent in _CHECKOUT.parents if (folder := parent / "shared" / "realdata").is_dir()),
    _CHECKOUT / "shared" / "realdata",
)
