"""Reads media in an LMDB, in the layout of the released ClipBERT.

The stem in UTF-8 to the encoded file's bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.stores.base import MediaStore

#: Real path -> the process that opened it with the file's number there, and the environment.
_OPEN: dict[str, tuple[tuple[int, int], Any]] = {}


class LmdbStore(MediaStore):
    """Read-only, without lock files and without read-ahead: many workers read at random from one file.

    Args:
        location: the folder that holds ``data.mdb``, or that file.
    """

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
                environment.close()
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
        name = key.encode("utf-8")
        if not name or len(name) > handle.max_key_size():
            return None
        with handle.begin(buffers=False) as transaction:
            return transaction.get(name)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str) or not key:
            return False
        with self.handle.begin(buffers=True) as transaction:
            return transaction.get(key.encode("utf-8")) is not None

    def _list(self, handle: Any) -> Iterator[str]:
        with handle.begin(buffers=False) as transaction, transaction.cursor() as cursor:
            yield from (name.decode("utf-8") for name in cursor.iternext(keys=True, values=False))

    def __len__(self) -> int:
        return self.handle.stat()["entries"]


def _number_file(path: str) -> int:
    return os.stat(path).st_ino if os.path.exists(path) else 0


def close_environment(location: str | os.PathLike[str]) -> None:
    """Close what this process has open for reading at ``location``.

    LMDB does not open a file twice in a process.
    """
    _, environment = _OPEN.pop(os.path.realpath(location), (None, None))
    if environment is not None:
        environment.close()
