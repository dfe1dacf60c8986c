"""Lists and reads the media of a library's source: a store of videos, or a table with paths and URLs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clipbert_mmf.annotations.formats import read_keys
from clipbert_mmf.inference.media import open_media
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.endings import MEDIA_ENDINGS
from clipbert_mmf.video.errors import MissingMediaError, StoreError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.stores.base import MediaStore, resolve_location, stamp_media
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import detect_store, open_store

#: Endings of files that are tables of media.
TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet")
#: A file that changed so shortly before it was looked at may change again without another time: clocks of file
#: systems are coarse.
_SETTLED_NS = 2_000_000_000


class MediaSource(Protocol):
    """The media of a library."""

    @property
    def location(self) -> str:
        """Place of the source, absolute or a URL."""
        ...

    def list_paths(self) -> list[str]:
        """Return the path of every medium, sorted."""
        ...

    def stamp(self, path: str) -> str:
        """Return what changes when a medium does; empty where that cannot be told.

        Raises:
            MediaError, OSError: if it is not there or cannot be read.
        """
        ...

    def read(self, path: str) -> bytes | Path | FrameFolder:
        """Return the encoded medium.

        Raises:
            MediaError: if it is not there or cannot be read.
        """
        ...


@dataclass(frozen=True)
class FolderSource:
    """Files below a folder; reading one lists nothing.

    Attributes:
        location: the folder, absolute.
        media: ``video`` or ``image``.
    """

    location: str
    media: str

    def list_paths(self) -> list[str]:
        """See ``MediaSource``."""
        store = FolderStore(self.location, self.media)
        return sorted(store.path_of(key) for key in store.keys())  # noqa: SIM118, a method, not a dict

    def stamp(self, path: str) -> str:
        """See ``MediaSource``."""
        return stamp_settled(Path(self.location, path))

    def read(self, path: str) -> Path | FrameFolder:
        """See ``MediaSource``."""
        place = Path(self.location, path)
        if place.is_dir():
            return FrameFolder(place)
        if not place.is_file():
            raise MissingMediaError(f"no file {place}", path, self.location)
        return place


class StoreSource:
    """The media of an LMDB, of tar shards, or behind iopath.

    Args:
        store: the store.
    """

    def __init__(self, store: MediaStore):
        self.location = resolve_location(store.location)
        self._store = store
        self._keys: dict[str, str] = {}

    def list_paths(self) -> list[str]:
        """See ``MediaSource``."""
        self._keys = {self._store.path_of(key): key for key in self._store.keys()}  # noqa: SIM118
        return sorted(self._keys)

    def stamp(self, path: str) -> str:
        """See ``MediaSource``."""
        return self._store.stamp(self._keys.get(path, path))

    def read(self, path: str) -> bytes | Path | FrameFolder:
        """See ``MediaSource``."""
        return self._store.read(self._keys.get(path, path))


@dataclass(frozen=True)
class TableSource:
    """The media that a table names: paths, those that are not absolute below the table's folder, and URLs.

    Attributes:
        location: the table, absolute.
    """

    location: str

    def list_paths(self) -> list[str]:
        """See ``MediaSource``."""
        return sorted(read_keys(Path(self.location)))

    def _place(self, path: str) -> str:
        if "\0" in path:
            raise MissingMediaError("the name holds a NUL; correct the table", path, self.location)
        return path if "://" in path else os.path.join(os.path.dirname(self.location), path)

    def stamp(self, path: str) -> str:
        """See ``MediaSource``; of a URL nothing is known without reading it."""
        place = self._place(path)
        return "" if "://" in place else stamp_settled(Path(place))

    def read(self, path: str) -> bytes | Path | FrameFolder:
        """See ``MediaSource``."""
        found = open_media(self._place(path))[0]
        assert not isinstance(found, DecodedVideo)
        return found


def detect_source(location: str | Path) -> str:
    """Return ``table``, or the kind of store at a location; opens nothing.

    Raises:
        StoreError: if nothing is there, or a file that is neither a store nor a table.
    """
    location = str(location)
    if not location:
        raise StoreError("the source is empty; expected a folder, a store, a table or scheme://...")
    is_table = Path(location).suffix.lower() in TABLE_ENDINGS and Path(location).is_file()
    return "table" if is_table else detect_store(location)


def open_media_source(location: str | Path, media: str) -> MediaSource:
    """Return the media at a location.

    Args:
        location: a folder, an LMDB, tar shards, ``scheme://...``, or a table.
        media: ``video`` or ``image``.

    Raises:
        StoreError: if nothing is there, or a file that is neither a store nor a table.
    """
    location, kind = str(location), detect_source(location)
    if kind == "table":
        return TableSource(os.path.realpath(location))
    if kind == "folder":
        return FolderSource(os.path.realpath(location), media)
    return StoreSource(open_store(location, kind, media=media))


def require_paths(source: MediaSource, media: str) -> list[str]:
    """Return the paths of a source's media.

    Raises:
        FileNotFoundError: if there are none.
    """
    paths = source.list_paths()
    if not paths:
        endings = ", ".join(sorted(MEDIA_ENDINGS[media]))
        raise FileNotFoundError(f"'{source.location}' holds no {media}s; looked for {endings}")
    return paths


def stamp_settled(path: Path) -> str:
    """Return the state of a file or folder of frames; empty where it changed so lately that it may change unseen."""
    stamp = stamp_media(path)
    state = os.stat(path)
    newest = max(state.st_mtime_ns, state.st_ctime_ns)
    return "" if time.time_ns() - newest < _SETTLED_NS else stamp
