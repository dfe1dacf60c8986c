"""Defines the interface of every store: encoded media by key. ``decode`` and ``images`` read what a store returns.

``names`` says what a key is, and which other names lead to it.
"""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipbert_mmf.video.errors import MediaError, MissingMediaError, StoreError
from clipbert_mmf.video.frame_folders import FrameFolder


class MediaStore(ABC):
    """Encoded media by key. Opens nothing until the first read, and anew in each process that uses it.

    A store can be pickled and can cross a fork: what ``_open`` returned stays behind.

    Args:
        location: place of the store; errors name it.
    """

    def __init__(self, location: str):
        self.location = str(location)
        self._handle: Any = None
        self._owner = -1

    @abstractmethod
    def _open(self) -> Any:
        """Open what the store reads from, in this process."""

    @abstractmethod
    def _find(self, handle: Any, key: str) -> bytes | Path | FrameFolder | None:
        """Return the encoded medium of ``key``, or None."""

    @abstractmethod
    def _list(self, handle: Any) -> Iterator[str]:
        """Yield every key, sorted."""

    @property
    def handle(self) -> Any:
        """The open store of this process."""
        if self._owner != os.getpid():
            # After a fork the parent's handle is dropped, not closed: closing would act on the parent's files.
            self._handle = self._open()
            self._owner = os.getpid()
        return self._handle

    def find(self, key: str) -> bytes | Path | FrameFolder | None:
        """Return the encoded medium: its bytes, a file, or a folder of frames; None where the store lacks the key.

        Raises:
            StoreError: if the store cannot be opened or read.
        """
        try:
            return self._find(self.handle, key)
        except MediaError:
            raise
        except Exception as error:  # whatever a library throws
            raise StoreError(
                f"cannot be read: {type(error).__name__}: {error}", key, self.location
            ) from error

    def read(self, key: str) -> bytes | Path | FrameFolder:
        """Return the encoded medium: its bytes, a file that holds them, or a folder of frames.

        Raises:
            MissingMediaError: if the store has no such key.
            StoreError: if the store cannot be opened or read.
        """
        found = self.find(key)
        if found is None:
            raise MissingMediaError("the store has no such key", key, self.location)
        return found

    def resolve(self, name: str) -> str | None:
        """Return the key of the medium that a name stands for, as a table writes it; None where there is none.

        Raises:
            AmbiguousNameError: if it stands for several.
            StoreError: if the store cannot be opened.
        """
        return name if name in self else None

    def path_of(self, key: str) -> str:
        """Return the path of a medium in the store, with its ending where the store knows it; a name of the key."""
        return key

    def keys(self) -> list[str]:
        """Return every key, sorted."""
        return list(self._list(self.handle))

    def stamp(self, key: str) -> str:
        """Return what changes when the medium of ``key`` does, empty where it is missing.

        A cached answer depends on it.

        Raises:
            MediaError: if the store cannot be opened or read.
            OSError: if the file went away.
        """
        found = self.find(key)
        if found is None:
            return ""
        if isinstance(found, (Path, FrameFolder)):
            path = found if isinstance(found, Path) else found.path
            return f"{path.name} {stamp_media(path)}"
        return f"{len(found)} bytes, crc32 {zlib.crc32(found):08x}"

    def find_damage(self) -> dict[str, str]:
        """Return the parts of the store that are damaged, each with the reason; their media may be missing."""
        return {}

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.find(key) is not None

    def __len__(self) -> int:
        return len(self.keys())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_owner": -1}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"


def resolve_location(location: str) -> str:
    """Return the place of a store as an absolute path without links, or its URL."""
    return location if "://" in location else os.path.realpath(location)


def stamp_media(path: Path) -> str:
    """Return what changes when a file, or one of a folder of frames, is written or replaced."""
    if not path.is_dir():
        return stamp_file(path)
    frames = FrameFolder(path).list_frames()
    states = "\n".join(f"{frame.name} {stamp_file(frame)}" for frame in frames)
    return f"{len(frames)} frames, {zlib.crc32(states.encode('utf-8', 'replace')):08x}"


def stamp_file(path: str | os.PathLike[str]) -> str:
    """Return what changes when a file is written or replaced, also by one of the same size and time."""
    state = os.stat(path)
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
