"""Writes stores of each kind. A writer can be killed at any moment and goes on with what is left."""

from __future__ import annotations

import errno
import io
import os
import tarfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path

from clipbert_mmf.video.endings import ALL_ENDINGS, MEDIA_ENDINGS, SIDE_ENDINGS, ending_of, strip_ending
from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.lmdb import close_environment
from clipbert_mmf.video.stores.names import NameIndex
from clipbert_mmf.video.stores.tar import ShardIndex, find_shards, read_index, write_index
from clipbert_mmf.writing import WriteError, explain_write_error, naming, replacing


class StoreWriter(ABC):
    """Takes media one by one; a context manager.

    Args:
        target: folder to write into, made if it is not there.
    """

    def __init__(self, target: Path):
        self.target = Path(target)
        self.target.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def done_keys(self) -> set[str]:
        """Return the keys that are safely in the store."""

    @abstractmethod
    def remove(self, keys: set[str]) -> None:
        """Take media out of the store; they are gone from the disk when this returns."""

    @abstractmethod
    def put(self, key: str, extension: str, data: bytes) -> None:
        """Add a medium; ``extension`` begins with a dot.

        Raises:
            MediaError: if the store cannot hold it.
        """

    @abstractmethod
    def close(self) -> None:
        """Bring everything that was put to the disk."""

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


#: Endings that say what a file is.
_TELLING = ALL_ENDINGS | SIDE_ENDINGS


def _find_lmdb_key(name: str) -> str:
    """Return the key of a name that ``LmdbWriter.put`` wrote."""
    stem = strip_ending(name)
    return stem if ending_of(stem) in _TELLING else name


def name_member(key: str, extension: str) -> str:
    """Return the path of a medium in a store, which leads back to its key.

    Raises:
        StoreError: for a key that leads out of the store.
    """
    if key.startswith("/") or ".." in key.split("/") or "\0" in key:
        raise StoreError("the name leads out of the store", key)
    # Where endings tell two media apart, the key has its own.
    return key if ending_of(key) == extension.lower() else f"{key}{extension}"


class FolderWriter(StoreWriter):
    """Writes one file per medium; a file has its name only when it is complete."""

    def done_keys(self) -> set[str]:
        """Return the keys that are safely in the store."""
        return {
            key
            for media in MEDIA_ENDINGS
            for key in FolderStore(str(self.target), media).keys()  # noqa: SIM118
        }

    def remove(self, keys: set[str]) -> None:
        """Take media out of the store."""
        for media in MEDIA_ENDINGS:
            store = FolderStore(str(self.target), media)
            for key in keys.intersection(store.keys()):
                found = store.find(key)
                if isinstance(found, Path):
                    found.unlink(missing_ok=True)

    def put(self, key: str, extension: str, data: bytes) -> None:
        """Add a medium; ``extension`` begins with a dot."""
        place = self.target / name_member(key, extension)
        # A short name: that of the file may be as long as a name can be.
        part = self.target / f".{zlib.crc32(key.encode()):08x}.{os.getpid()}.part"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(place)
        except OSError as error:
            part.unlink(missing_ok=True)
            if error.errno not in _OF_A_NAME:
                raise WriteError(explain_write_error(place, error.strerror or str(error))) from error
            raise StoreError(f"cannot be written: {error}", key, str(self.target)) from error

    def close(self) -> None:
        """Bring everything that was put to the disk."""
        for part in self.target.glob(".*.part"):
            part.unlink()


class LmdbWriter(StoreWriter):
    """Writes the layout of the released ClipBERT.

    Media are committed in batches, a batch is there whole or not at all.
    """

    def __init__(self, target: Path, batch_bytes: int = 64 * 2**20):
        super().__init__(target)
        import lmdb

        close_environment(self.target)
        self._lmdb = lmdb
        self._batch_bytes = batch_bytes
        self._batch: list[tuple[bytes, bytes]] = []
        self._size = 0
        existing = self.target / "data.mdb"
        # The map only reserves addresses; it grows when it is full.
        map_size = max(2**28, 2 * (existing.stat().st_size if existing.exists() else 0))
        self._environment = lmdb.open(str(self.target), map_size=map_size)

    def done_keys(self) -> set[str]:
        """Return the keys that are safely in the store."""
        return set(self._names())

    def _names(self) -> dict[str, bytes]:
        """Return the names in the LMDB by key."""
        with self._environment.begin() as transaction:
            names = list(transaction.cursor().iternext(keys=True, values=False))
        return {_find_lmdb_key(name.decode("utf-8", "replace")): name for name in names}

    def remove(self, keys: set[str]) -> None:
        """Take media out of the store."""
        names = self._names()
        with naming(self.target / "data.mdb"), self._environment.begin(write=True) as transaction:
            for key in keys & names.keys():
                transaction.delete(names[key])

    def put(self, key: str, extension: str, data: bytes) -> None:
        """Add a medium; ``extension`` begins with a dot."""
        # ``talk.txt`` of ``talk.txt.mp4`` would look like a file beside media, ``talk.jpg`` like an image.
        name = (name_member(key, extension) if ending_of(key) in _TELLING else key).encode("utf-8")
        if len(name) > self._environment.max_key_size():
            raise StoreError(
                f"the name has {len(name)} bytes, an LMDB takes {self._environment.max_key_size()}; build tar shards",
                key,
                str(self.target),
            )
        self._batch.append((name, data))
        self._size += len(data)
        if self._size >= self._batch_bytes:
            self._commit()

    def _commit(self) -> None:
        while True:
            try:
                with naming(self.target / "data.mdb"), self._environment.begin(write=True) as transaction:
                    for key, data in self._batch:
                        transaction.put(key, data)
                break
            except WriteError as error:
                if not isinstance(error.__cause__, self._lmdb.MapFullError):
                    raise
                self._environment.set_mapsize(self._environment.info()["map_size"] * 2 + 2 * self._size)
        self._batch, self._size = [], 0

    def close(self) -> None:
        """Bring everything that was put to the disk."""
        try:
            self._commit()
            with naming(self.target / "data.mdb"):
                self._environment.sync(True)
        finally:
            self._environment.close()


class TarWriter(StoreWriter):
    """Writes WebDataset shards with their indices; a shard has its name only when it is complete.

    Args:
        shard_bytes: a shard is closed when it has reached this size.
    """

    def __init__(self, target: Path, shard_bytes: int = 2**30):
        super().__init__(target)
        self.shard_bytes = shard_bytes
        for part in self.target.glob("*.tar.part"):
            part.unlink()
        self._next = 1 + max(
            (int(Path(shard).stem.rsplit("-", 1)[-1]) for shard in self._shards()), default=-1
        )
        self._archive: tarfile.TarFile | None = None
        self._places: dict[str, tuple[int, int]] = {}

    def _shards(self) -> list[str]:
        return [
            shard for shard in find_shards(str(self.target)) if Path(shard).stem.rsplit("-", 1)[-1].isdigit()
        ]

    @property
    def _shard(self) -> Path:
        return self.target / f"media-{self._next:06d}.tar"

    def _names(self) -> dict[str, str]:
        names = [name for shard in self._shards() for name in read_index(shard).places]
        return NameIndex(names, str(self.target)).names

    def done_keys(self) -> set[str]:
        """Return the keys that are safely in the store."""
        return set(self._names())

    def remove(self, keys: set[str]) -> None:
        """Take media out of the store: the shards that hold them are written anew."""
        names = {name for key, name in self._names().items() if key in keys}
        for shard in self._shards():
            places = read_index(shard).places
            if names.isdisjoint(places):
                continue
            left: dict[str, tuple[int, int]] = {}
            with (
                replacing(shard) as partial,
                open(shard, "rb") as stream,
                tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive,
            ):
                for name, (offset, size) in places.items():
                    if name not in names:
                        stream.seek(offset)
                        left[name] = _add_member(archive, name, stream.read(size))
            write_index(shard, ShardIndex(left))

    def put(self, key: str, extension: str, data: bytes) -> None:
        """Add a medium; ``extension`` begins with a dot."""
        name = name_member(key, extension)
        with naming(self._shard):
            if self._archive is None:
                # Open until the shard is full; ``close`` ends it.
                self._archive = tarfile.open(f"{self._shard}.part", "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
            self._places[name] = _add_member(self._archive, name, data)
        if self._archive.offset >= self.shard_bytes:
            self.close()

    def close(self) -> None:
        """Bring everything that was put to the disk."""
        if self._archive is None:
            return
        archive, places = self._archive, self._places
        self._archive, self._places = None, {}
        with replacing(self._shard):
            archive.close()
        write_index(str(self._shard), ShardIndex(places))
        self._next += 1


def _add_member(archive: tarfile.TarFile, name: str, data: bytes) -> tuple[int, int]:
    """Return where the data begin, and their size."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
    # addfile pads the data to whole blocks of 512 bytes.
    return archive.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(data)


#: Errors of a medium's name, after which the next one may be written.
_OF_A_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOTDIR, errno.EISDIR)

#: Kinds of stores that can be written.
WRITERS: dict[str, type[StoreWriter]] = {"folder": FolderWriter, "lmdb": LmdbWriter, "tar": TarWriter}
