"""Opens encoded files in one way: regular files only, without waiting, up to a size.

A pipe, a device or a socket that lies among media would be waited for, or read until memory ends.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from clipbert_mmf.video.errors import DecodeError, MissingMediaError

#: Largest file that is read into memory as a whole.
MAX_SOURCE_BYTES = 16 << 30
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def require_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the state of a regular file, links followed.

    Raises:
        MissingMediaError: if nothing is there.
        DecodeError: if it is something else than a file, or its state cannot be read.
    """
    try:
        return _require_regular(os.stat(path), path)
    except FileNotFoundError as error:
        raise MissingMediaError(f"no file {os.fspath(path)}") from error
    except (OSError, ValueError) as error:
        raise DecodeError(f"cannot be read: {error}") from error


def open_source(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; nothing else is waited for, and nothing is read of it.

    Raises:
        MissingMediaError: if nothing is there.
        DecodeError: if it is something else than a file, or cannot be opened.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    )
    # Opening a device may do something, so its kind is asked first, and again of what was opened.
    require_regular(path)
    try:
        stream = os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError as error:
        raise MissingMediaError(f"no file {os.fspath(path)}") from error
    except (OSError, ValueError) as error:
        raise DecodeError(f"cannot be read: {error}") from error
    try:
        _require_regular(os.fstat(stream.fileno()), path)
    except BaseException:
        stream.close()
        raise
    return stream


def read_source(path: str | os.PathLike[str], max_bytes: int = MAX_SOURCE_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        MissingMediaError: if nothing is there.
        DecodeError: if it is something else than a file, larger than ``max_bytes``, or cannot be read.
    """
    with open_source(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            # As much as there is and not the limit: room is made for all that is asked for.
            data = b"" if size > max_bytes else stream.read(size)
            while len(data) <= max_bytes and size <= max_bytes and (more := stream.read(1 << 20)):
                data += more
        except OSError as error:
            raise DecodeError(f"cannot be read: {error}") from error
    if max(size, len(data)) > max_bytes:
        raise DecodeError(f"the file has {max(size, len(data))} bytes; at most {max_bytes} are read")
    return data


def read_stream(stream: Any, max_bytes: int | None = None) -> bytes:
    """Return the rest of a stream whose size is not known, such as that of a remote file.

    Args:
        stream: has ``read``.
        max_bytes: at most; None for ``MAX_SOURCE_BYTES``.

    Raises:
        DecodeError: if it is larger than ``max_bytes``.
    """
    limit, size = MAX_SOURCE_BYTES if max_bytes is None else max_bytes, 0
    parts: list[bytes] = []
    while part := stream.read(1 << 20):
        size += len(part)
        if size > limit:
            raise DecodeError(f"the file has more than {limit} bytes; no more are read")
        parts.append(part)
    return b"".join(parts)


def read_head(source: bytes | str | os.PathLike[str], num_bytes: int = 16) -> bytes:
    """Return the first bytes of a source.

    Raises:
        MediaError: as ``open_source``.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source[:num_bytes])
    with open_source(source) as stream:
        try:
            return stream.read(num_bytes)
        except OSError as error:
            raise DecodeError(f"cannot be read: {error}") from error


def _require_regular(state: os.stat_result, path: str | os.PathLike[str]) -> os.stat_result:
    if stat.S_ISDIR(state.st_mode):
        raise MissingMediaError(f"no file {Path(path)}, but a folder")
    if not stat.S_ISREG(state.st_mode):
        kind = _KINDS.get(stat.S_IFMT(state.st_mode), "no regular file")
        raise DecodeError(f"{Path(path)} is {kind}; expected a file")
    return state
