"""Writes files so that a kill or a full disk leaves the old ones whole, and says which could not be written.

What libraries say of a full disk names neither the file nor the space that is left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

#: Ending of a file that is being written.
PARTIAL = ".part"
#: Libraries whose writers raise errors of their own.
_WRITERS = ("lmdb", "safetensors", "safetensors_rust", "lance", "lancedb", "pyarrow")


class WriteError(OSError):
    """A file that could not be written; the message says which, why, and how much space is left."""


@contextmanager
def naming(path: str | os.PathLike[str]) -> Generator[None]:
    """Name a file in the errors of a block that does nothing but write it.

    Raises:
        WriteError: if the block fails to write.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        is_of_writer = type(error).__module__.partition(".")[0] in _WRITERS
        if not isinstance(error, (OSError, RuntimeError)) and not is_of_writer:  # torch's are RuntimeErrors
            raise
        raise WriteError(explain_write_error(Path(path), _find_reason(error))) from error


@contextmanager
def replacing(path: str | os.PathLike[str], partial: Path | None = None) -> Generator[Path]:
    """Yield the name to write a file under; rename it then, or remove it where writing failed.

    Args:
        path: of the file.
        partial: the name to write under; None for the file's with an ending.

    Raises:
        WriteError: if the block fails to write.
    """
    partial = partial or Path(f"{os.fspath(path)}{PARTIAL}")
    with naming(path):
        try:
            yield partial
            os.replace(partial, path)
        except Exception:
            partial.unlink(missing_ok=True)
            raise


def write_text_atomically(text: str, path: Path) -> None:
    """Write a small file under another name, bring it to the disk, and rename it.

    Raises:
        WriteError: if the file cannot be written.
    """
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _find_reason(error: BaseException) -> str:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def explain_write_error(path: Path, reason: str) -> str:
    """Return the message for a file that could not be written, with the space that is left."""
    folder = next((parent for parent in path.absolute().parents if parent.is_dir()), Path("/"))
    try:
        free = f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB are free there"
    except OSError:
        free = "its folder cannot be read"
    return f"{path} could not be written: {reason}; {free}"
