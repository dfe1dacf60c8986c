"""Where the bytes of media are: one small interface over folders, LMDB and other places, addressed by key.

The first room of the data plane; ``decode`` and ``images`` read what a store returns. A key is the file's stem.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clipbert_mmf.video.errors import MissingMediaError, StoreError

logger = logging.getLogger(__name__)


class MediaStore(ABC):
    """Encoded media by key. Opens nothing until the first read, and anew in each process that uses it.

    A store can be pickled and can cross a fork: what ``_open`` returned stays behind.

    Args:
        location: where the store is; stands in every error.
    """

    def __init__(self, location: str):
        self.location = str(location)
        self._handle: Any = None
        self._owner = -1

    @abstractmethod
    def _open(self) -> Any:
        """Open what the store reads from, in this process."""

    @abstractmethod
    def _find(self, handle: Any, key: str) -> bytes | Path | None:
        """Return what ``key`` stands for, or None."""

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

    def read(self, key: str) -> bytes | Path:
        """Return the encoded medium: its bytes, or a file that holds them.

        Raises:
            MissingMediaError: if the store has no such key.
            StoreError: if the store cannot be opened or read.
        """
        found = self._find(self.handle, key)
        if found is None:
            raise MissingMediaError("the store has no such key", key, self.location)
        return found

    def keys(self) -> list[str]:
        """Return every key, sorted."""
        return list(self._list(self.handle))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(self.handle, key) is not None

    def __len__(self) -> int:
        return len(self.keys())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_owner": -1}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"


class FolderStore(MediaStore):
    """Files below a folder, at any depth and with any extension. The listing is made once.

    It is kept when the store crosses a process boundary, so that workers do not walk the folder again. Where two
    files share a stem, the first in the order of paths counts and a warning names both.
    """

    def __init__(self, location: str):
        super().__init__(location)
        self._files: dict[str, str] | None = None

    def _open(self) -> dict[str, str]:
        if self._files is None:
            self._files = _index_folder(self.location)
        return self._files

    def _find(self, handle: dict[str, str], key: str) -> Path | None:
        name = handle.get(key)
        return None if name is None else Path(self.location, name)

    def _list(self, handle: dict[str, str]) -> Iterator[str]:
        return iter(sorted(handle))

    def __len__(self) -> int:
        return len(self.handle)


def key_of(name: str) -> str:
    """Return the key of a file's name: the name without its last extension.

    Some owners' names end in a bare dot ("video."), which pathlib takes for part of the stem.
    """
    return name.rstrip(".") if name.endswith(".") else Path(name).stem


def _index_folder(location: str) -> dict[str, str]:
    if not os.path.isdir(location):
        raise StoreError("no such folder", "", location)
    files: dict[str, str] = {}
    doubled: list[tuple[str, str]] = []
    for folder, subfolders, names in os.walk(location, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            path = os.path.relpath(os.path.join(folder, name), location)
            if files.setdefault(key_of(name), path) != path:
                doubled.append((files[key_of(name)], path))
    if doubled:
        logger.warning(
            "%s: %d keys stand for more than one file, the first counts; for example %s",
            location,
            len(doubled),
            doubled[0],
        )
    return files


def _open_lmdb(location: str, cache_dir: str | None) -> MediaStore:
    from clipbert_mmf.video.stores.lmdb import LmdbStore

    return LmdbStore(location)


def _open_tar(location: str, cache_dir: str | None) -> MediaStore:
    from clipbert_mmf.video.stores.tar import TarStore

    return TarStore(location)


def _open_iopath(location: str, cache_dir: str | None) -> MediaStore:
    from clipbert_mmf.video.stores.iopath import IopathStore

    return IopathStore(location, cache_dir)


#: Kinds of stores; what a kind needs is imported only when it is used.
STORES: dict[str, Callable[[str, str | None], MediaStore]] = {
    "folder": lambda location, cache_dir: FolderStore(location),
    "lmdb": _open_lmdb,
    "tar": _open_tar,
    "iopath": _open_iopath,
}
_EXPECTED = "expected a folder of files, an LMDB, tar shards, or something://..."


class UnionStore(MediaStore):
    """Several stores as one; the first that has a key serves it."""

    def __init__(self, stores: Sequence[MediaStore]):
        super().__init__(" + ".join(store.location for store in stores))
        self._stores = list(stores)

    def _open(self) -> list[MediaStore]:
        return self._stores

    def _find(self, handle: list[MediaStore], key: str) -> bytes | Path | None:
        for store in handle:
            found = store._find(store.handle, key)
            if found is not None:
                return found
        return None

    def _list(self, handle: list[MediaStore]) -> Iterator[str]:
        return iter(sorted({key for store in handle for key in store.keys()}))


def open_store(
    location: str | Path | Sequence[str], kind: str = "auto", cache_dir: str | None = None
) -> MediaStore:
    """Return the store at ``location``; nothing is opened before the first read.

    Args:
        location: a folder of files (searched at any depth); an LMDB (its folder or its ``data.mdb``); a folder, file or
            pattern of ``*.tar``; or ``scheme://...`` for iopath, where ``{key}`` may stand for the key. Several
            of them are one store of all their keys.
        kind: a key of ``STORES``, or ``auto``: told apart by what is there.
        cache_dir: local folder in which an iopath store keeps what it read, or None.

    Raises:
        StoreError: for an unknown kind, or when nothing is at ``location``.
    """
    if isinstance(location, (list, tuple)):
        return UnionStore([open_store(one, kind, cache_dir) for one in location])
    location = str(location)
    if kind == "auto":
        kind = detect_store(location)
    if kind not in STORES:
        raise StoreError(
            f"store kind is '{kind}'; allowed are auto, {', '.join(sorted(STORES))}", "", location
        )
    return STORES[kind](location, cache_dir)


def detect_store(location: str) -> str:
    """Tell which kind of store is at ``location``.

    Raises:
        StoreError: when nothing is there, or a file that is no store.
    """
    if "://" in location:
        return "iopath"
    path = Path(location)
    if path.is_dir():
        if (path / "data.mdb").is_file():
            return "lmdb"
        names = [entry.name for entry in os.scandir(path) if not entry.name.startswith(".")]
        # A folder of videos may hold a tar left over from its download; shards lie alone, with their indices.
        shards = [name for name in names if name.endswith(".tar")]
        return (
            "tar"
            if shards and all(name.endswith((".tar", ".index", ".json")) for name in names)
            else "folder"
        )
    if path.suffix in (".mdb", ".lmdb") and path.is_file():
        return "lmdb"
    if path.suffix == ".tar" and (path.is_file() or "*" in location):
        return "tar"
    what = "a file that is no store" if path.is_file() else "nothing is there"
    raise StoreError(f"{what}; {_EXPECTED}", "", location)
