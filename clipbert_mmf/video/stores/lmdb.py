"""Reads media in an LMDB, in the layout of the released ClipBERT: the key in UTF-8 to the encoded file's bytes."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from clipbert_mmf.video.endings import choose_names
from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.sources import require_regular
from clipbert_mmf.video.stores.base import MediaStore
from clipbert_mmf.video.stores.lmdb_pages import find_damage
from clipbert_mmf.video.stores.names import NameIndex, is_safe_name, split_readable

#: Real path -> the process that opened it with the file's number there, and the environment.
_OPEN: dict[str, tuple[tuple[int, int], Any]] = {}
#: Files that were found whole.
_WHOLE: set[tuple[int, int, int, int]] = set()


class LmdbStore(MediaStore):
    """Read-only, without lock files and without read-ahead: many workers read at random from one file.

    Args:
        location: the folder that holds ``data.mdb``, or that file.
        media: ``video`` or ``image``; None takes videos where there are any, else images.
    """

    def __init__(self, location: str, media: str | None = None):
        super().__init__(location)
        self._media = media
        self._index: NameIndex | None = None

    def _open(self) -> Any:
        try:
            import lmdb
        except ImportError as error:
            raise StoreError("this is an LMDB; pip install lmdb to read it", "", self.location) from error
        in_folder = os.path.isdir(self.location)
        folder, name = os.path.split(self.location)
        if name == "data.mdb":
            path, in_folder = folder or ".", True
        else:
            path = self.location
        # LMDB refuses a second opening of one file in one process, so stores at the same place share one.
        name = os.path.realpath(path)
        owner, environment = _OPEN.get(name, ((0, 0), None))
        opener = (os.getpid(), _number_file(os.path.join(name, "data.mdb") if in_folder else name))
        if owner != opener:
            if environment is not None:
                # Inherited through a fork, or the file was replaced. Without locks closing only drops this
                # process's own mapping.
                _OPEN.pop(name)[1].close()
            damage = _find_damage_once(os.path.join(name, "data.mdb") if in_folder else name)
            if damage:
                raise StoreError(damage, "", self.location)
            try:
                environment = lmdb.open(
                    path,
                    subdir=in_folder,
                    readonly=True,
                    create=False,
                    lock=False,
                    readahead=False,
                    max_readers=1024,
                )
            except lmdb.Error as error:
                raise StoreError(f"not a readable LMDB: {error}", "", self.location) from error
            _OPEN[name] = (opener, environment)
        return environment

    def _find(self, handle: Any, key: str) -> bytes | None:
        # Most keys are as they stand in the store: those cost no listing.
        if self._index is None and is_safe_name(key):
            found = self._get(handle, key)
            if found is not None:
                return found
        index = self.index
        name = index.names.get(key)
        if name is None:
            resolved = index.find(key)
            if resolved is None:
                return None
            name = index.names[resolved]
        return self._get(handle, name)

    def _get(self, handle: Any, key: str) -> bytes | None:
        try:
            name = key.encode("utf-8")
        except UnicodeEncodeError:
            return None
        if not name or len(name) > handle.max_key_size():
            return None
        with self._naming_damage(), handle.begin(buffers=False) as transaction:
            return transaction.get(name)

    @contextmanager
    def _naming_damage(self) -> Generator[None]:
        import lmdb

        try:
            yield
        except lmdb.Error as error:
            raise StoreError(f"the LMDB is damaged: {error}", "", self.location) from error

    @property
    def index(self) -> NameIndex:
        """The names of all media, listed once."""
        if self._index is None:
            handle = self.handle
            with (
                self._naming_damage(),
                handle.begin(buffers=False) as transaction,
                transaction.cursor() as cursor,
            ):
                names = [
                    name.decode("utf-8", "surrogateescape")
                    for name in cursor.iternext(keys=True, values=False)
                ]
            self._index = NameIndex(
                choose_names(split_readable(names, self.location), self._media), self.location
            )
        return self._index

    def resolve(self, name: str) -> str | None:
        """Return the key of a name; see ``MediaStore.resolve``."""
        return self.index.find(name)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(key) and self.resolve(key) is not None

    def _list(self, handle: Any) -> Iterator[str]:
        return iter(sorted(self.index.names))

    def __len__(self) -> int:
        return len(self.index.names)


def _find_damage_once(path: str) -> str:
    """Return what is wrong with a file; a process and those it starts by a fork look at one file once."""
    state = require_regular(path)
    identity = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if identity not in _WHOLE:
        damage = find_damage(path)
        if damage:
            return damage
        _WHOLE.add(identity)
    return ""


def _number_file(path: str) -> int:
    return os.stat(path).st_ino if os.path.exists(path) else 0


def close_environment(location: str | os.PathLike[str]) -> None:
    """Close what this process has open for reading at ``location``: LMDB does not open a file twice in a process."""
    _, environment = _OPEN.pop(os.path.realpath(location), (None, None))
    if environment is not None:
        environment.close()
