"""Where the bytes of media are: one small interface over folders, LMDB and other places, addressed by key.

The first room of the data plane; ``decode`` and ``images`` read what a store returns. A key is the file's stem.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Callable, Iterator

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
            # The bare final dot of some owners' names ("video.") is no extension to pathlib.
            stem = Path(name).stem.rstrip(".") if not name.endswith(".") else name.rstrip(".")
            if files.setdefault(stem, path) != path:
                doubled.append((files[stem], path))
    if doubled:
        logger.warning(
            "%s: %d keys stand for more than one file, the first counts; for example %s", location, len(doubled), doubled[0]
        )
    return files


def _make_lmdb(location: str) -> MediaStore:
    from clipbert_mmf.video.lmdb_store import LmdbStore

    return LmdbStore(location)


#: Kinds of stores; the values import what they need only when used.
STORES: dict[str, Callable[[str], MediaStore]] = {
    "folder": FolderStore,
    "lmdb": _make_lmdb,
}


def open_store(location: str, kind: str = "auto") -> MediaStore:
    """Return the store at ``location``; nothing is opened before the first read.

    Args:
        location: a folder of files, or an LMDB (its folder or its ``data.mdb``).
        kind: a key of ``STORES``, or ``auto``: told apart by what is there.
    Raises:
        StoreError: for an unknown kind, or when nothing is at ``location``.
    """
    location = str(location)
    if kind == "auto":
        kind = detect_store(location)
    if kind not in STORES:
        raise StoreError(f"store kind is '{kind}'; allowed are auto, {', '.join(sorted(STORES))}", "", location)
    return STORES[kind](location)


def detect_store(location: str) -> str:
    """Tell which kind of store is at ``location``.

    Raises:
        StoreError: when nothing is there, or a file that is no store.
    """
    path = Path(location)
    if path.is_dir():
        return "lmdb" if (path / "data.mdb").is_file() else "folder"
    if path.is_file():
        if path.suffix in (".mdb", ".lmdb"):
            return "lmdb"
        raise StoreError("a file that is no store; expected a folder or an LMDB", "", location)
    raise StoreError("nothing is there; expected a folder or an LMDB", "", location)
