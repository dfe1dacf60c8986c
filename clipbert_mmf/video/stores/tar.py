"""Reads media in tar shards, the WebDataset convention, read at random through an index.

A shard is a plain tar; the index beside it (``<shard>.index``) says where each member's bytes start, so that one read
is one ``pread``. An index that is missing or of another state of its shard is made on the spot from the tar's headers.
A damaged shard is named; what can be read of it, and of the others, is served.
"""

from __future__ import annotations

import json
import logging
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from glob import escape, glob
from pathlib import Path
from typing import Any, BinaryIO, cast

from clipbert_mmf.video.endings import ALL_ENDINGS, choose_names, ending_of
from clipbert_mmf.video.errors import MediaError, MissingMediaError, StoreError, TruncatedMediaError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.images import is_media
from clipbert_mmf.video.sources import open_source, read_source, require_regular
from clipbert_mmf.video.stores.base import MediaStore, stamp_file
from clipbert_mmf.video.stores.names import NameIndex, is_safe_name, is_unicode

logger = logging.getLogger(__name__)

INDEX_SUFFIX = ".index"
#: Version of an index; one of another version is made anew.
_INDEX_VERSION = 4
#: Shards that a store keeps open: far below the usual limit of 1024 files of a process.
_MAX_OPEN_SHARDS = 64


@dataclass
class ShardIndex:
    """Members of one shard.

    Attributes:
        places: path of every medium in the shard, with its ending, to (offset, size).
        doubled: paths that the shard holds more than once; the last one counts, as it does for ``tar``.
        damage: why the shard is not whole, empty if it is.
        unnamed: names that are no UTF-8 or lead out of the store, as Python shows them; they are left out.
    """

    places: dict[str, tuple[int, int]]
    doubled: list[str] = field(default_factory=list)
    damage: str = ""
    unnamed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Members:
    """Members of all shards: the names, and shard, offset and size of each."""

    index: NameIndex
    places: dict[str, tuple[str, int, int]]


class TarStore(MediaStore):
    """Tar shards, read-only.

    Args:
        location: a folder of ``*.tar``, one tar, or a pattern such as ``videos-*.tar``.
        media: ``video`` or ``image``; None takes videos where there are any, else images.
    """

    def __init__(self, location: str, media: str | None = None):
        super().__init__(location)
        self._media = media

    def _open(self) -> _Members:
        shards = find_shards(self.location)
        if not shards:
            raise StoreError("no tar shard is there", "", self.location)
        # An evicted shard is closed when the last thread that reads from it lets go.
        self._open_shard = lru_cache(_MAX_OPEN_SHARDS)(_OpenShard)
        self._damage: dict[str, str] = {}
        shards_of_name: dict[str, list[tuple[str, int, int]]] = {}
        doubled: list[str] = []
        unnamed: list[str] = []
        for shard in shards:
            try:
                index = read_index(shard)
            except StoreError as error:
                if len(shards) == 1:
                    raise
                self._damage[shard] = error.reason
                continue
            if index.damage:
                self._damage[shard] = index.damage
            doubled += index.doubled
            unnamed += index.unnamed
            for name, place in index.places.items():
                shards_of_name.setdefault(name, []).append((shard, *place))
        for shard, reason in self._damage.items():
            logger.warning("%s: %s", shard, reason)
        if len(self._damage) == len(shards) and not shards_of_name:
            shard, reason = next(iter(self._damage.items()))
            raise StoreError(
                f"none of {len(shards)} shards can be read; the first, {shard}: {reason}", "", self.location
            )
        if doubled:
            logger.warning(
                "%s: %d members are there more than once in their shard, the last counts; for example '%s'",
                self.location,
                len(doubled),
                doubled[0],
            )
        if unnamed:
            logger.warning(
                "%s: %d names are no UTF-8 or lead out of the store and are left out, rename them: %s",
                self.location,
                len(unnamed),
                ", ".join(unnamed[:10]),
            )
        places: dict[str, tuple[str, int, int]] = {}
        for name, found in shards_of_name.items():
            # One name in several shards is several media: the shard tells them apart.
            for place in found:
                shard = os.path.basename(place[0]).removesuffix(".tar")
                places[name if len(found) == 1 else f"{shard}/{name}"] = place
        return _Members(NameIndex(choose_names(places, self._media), self.location), places)

    def resolve(self, name: str) -> str | None:
        """Return the key of a name; see ``MediaStore.resolve``."""
        return self.handle.index.find(name)

    def _place(self, key: str) -> tuple[str, int, int] | None:
        members: _Members = self.handle
        name = members.index.names.get(key)
        if name is None:
            resolved = members.index.find(key)
            name = None if resolved is None else members.index.names[resolved]
        return None if name is None else members.places[name]

    def _find(self, handle: _Members, key: str) -> bytes | None:
        place = self._place(key)
        if place is None:
            return None
        shard, offset, size = place
        try:
            data = self._open_shard(shard).read(offset, size)
        except OSError as error:
            raise StoreError(f"the shard {shard} cannot be read: {error}", key, self.location) from error
        if len(data) < size:
            raise TruncatedMediaError(f"the shard {shard} ends before its index says so", key, self.location)
        return data

    def read(self, key: str) -> bytes | Path | FrameFolder:
        """Return the encoded medium; see ``MediaStore.read``.

        A missing one may lie in a damaged shard, which is named.
        """
        try:
            return super().read(key)
        except MissingMediaError as error:
            if not self._damage:
                raise
            shard, reason = next(iter(self._damage.items()))
            raise MissingMediaError(
                f"{error.reason}; it may lie in a damaged shard ({len(self._damage)}), such as {shard}: {reason}",
                key,
                self.location,
            ) from error

    def stamp(self, key: str) -> str:
        """Return what changes when the medium does: the state of its shard and its place there, without reading it."""
        place = self._place(key)
        if place is None:
            return ""
        shard, offset, size = place
        return f"{os.path.basename(shard)} {stamp_file(shard)} {offset} {size}"

    def path_of(self, key: str) -> str:
        """Return the path in the shard; see ``MediaStore.path_of``."""
        return self.handle.index.names.get(key, key)

    def find_damage(self) -> dict[str, str]:
        """Return the damaged shards, each with the reason."""
        return dict(self._damage) if self.handle is not None else {}

    def _list(self, handle: _Members) -> Iterator[str]:
        return iter(sorted(handle.index.names))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._place(key) is not None

    def __len__(self) -> int:
        return len(self.handle.index.names)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_open_shard": None}


class _OpenShard:
    """An open file that closes itself; a read has no file position that threads or workers could share by accident."""

    def __init__(self, path: str):
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def read(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        # One call gives 2 GiB at most.
        while size and (part := os.pread(self._file, size, offset)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __del__(self) -> None:
        if "_file" in self.__dict__:
            os.close(self._file)


def find_shards(location: str) -> list[str]:
    """Return the tar files at a folder, file or pattern, in order.

    Folders of a pattern that are there are taken as they are, whatever letters their names have.
    """
    if os.path.isdir(location):
        return sorted(glob(os.path.join(escape(location), "*.tar")))
    if os.path.isfile(location):
        return [location]
    pattern = Path(location)
    folder = next(parent for parent in (*pattern.parents, Path()) if parent.is_dir())
    return sorted(glob(str(Path(escape(str(folder))) / pattern.relative_to(folder))))


def read_index(shard: str) -> ShardIndex:
    """Return where the media of a shard lie, from the index beside it or from its headers.

    Raises:
        StoreError: if no member of the shard can be read.
    """
    path = Path(shard + INDEX_SUFFIX)
    try:
        stamp = _stamp(shard)
    except MediaError as error:
        raise StoreError(error.reason, "", shard) from error
    try:
        if path.is_file():
            content = json.loads(read_source(path).decode())
            if content.get("version") == _INDEX_VERSION and content["shard"] == stamp:
                return _parse_index(content, stamp[0])
            logger.info("%s is of another state of its shard; made anew", path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MediaError):
        logger.warning("%s is broken; made anew", path)
    index = _scan(shard)
    write_index(shard, index)
    return index


def _parse_index(content: dict[str, Any], shard_bytes: int) -> ShardIndex:
    """Return what a file of an index says.

    Raises:
        ValueError: if it contradicts the size of the shard or itself.
        KeyError, TypeError, AttributeError: if something is missing or of another type.
    """
    places: dict[str, tuple[int, int]] = {}
    for name, (offset, size) in content["places"].items():
        is_number = type(offset) is int and type(size) is int
        # A member begins after its header.
        if not is_number or not 512 <= offset <= offset + size <= shard_bytes or not is_safe_name(name):
            raise ValueError(f"{name!r} lies at {offset} and has {size} bytes")
        places[name] = (offset, size)
    lists: tuple[Any, Any] = (content["doubled"], content["unnamed"])
    if not isinstance(content["damage"], str) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in cast(list[Any], names))
        for names in lists
    ):
        raise ValueError("its lists of names are none")
    if content["checksum"] != _hash_places(places):
        raise ValueError("its checksum is another")
    return ShardIndex(places, content["doubled"], content["damage"], content["unnamed"])


def _hash_places(places: dict[str, tuple[int, int]]) -> str:
    rows = [[name, *place] for name, place in places.items()]
    return f"{zlib.crc32(json.dumps(rows).encode()):08x}"


def write_index(shard: str, index: ShardIndex) -> None:
    """Write a shard's index beside it; a folder that cannot be written is no error."""
    path = Path(shard + INDEX_SUFFIX)
    # A name of its own length: the shard's may be as long as a name can be.
    part = path.with_name(f".{zlib.crc32(path.name.encode()):08x}.{os.getpid()}.part")
    try:
        content = {
            "version": _INDEX_VERSION,
            "shard": _stamp(shard),
            "checksum": _hash_places(index.places),
            **asdict(index),
        }
        part.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        logger.info("the index of %s cannot be kept: %s", shard, error)


def _stamp(shard: str) -> list[int]:
    state = require_regular(shard)
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _scan(shard: str) -> ShardIndex:
    index = ShardIndex({})
    num_members, end = 0, 0
    try:
        with open_source(shard) as stream:
            try:
                with tarfile.open(fileobj=stream, mode="r:") as archive:
                    for member in archive:
                        num_members += 1
                        name = posixpath.normpath(f"/{member.name}").lstrip("/")
                        if not member.isfile() or "/." in f"/{name}" or not _is_medium(stream, member, name):
                            continue
                        if not is_unicode(name) or not is_safe_name(name):
                            index.unnamed.append(repr(os.fsencode(name)))
                            continue
                        if name in index.places:
                            index.doubled.append(name)
                        index.places[name] = (member.offset_data, member.size)
                    end = archive.offset
                fault = _describe_end(stream, end)
            except (tarfile.TarError, EOFError, ValueError) as error:
                fault = str(error)
    except MediaError as error:
        raise StoreError(error.reason, "", shard) from error
    except OSError as error:
        raise StoreError(f"cannot be read: {error}", "", shard) from error
    if fault and not num_members:
        raise StoreError(f"no plain tar (compressed ones cannot be read at random): {fault}", "", shard)
    if fault:
        index.damage = f"the tar is damaged after {num_members} members: {fault}"
    return index


def _is_medium(stream: BinaryIO, member: tarfile.TarInfo, name: str) -> bool:
    """Return whether a member is a video or an image: by its ending, or without one by its first bytes."""
    ending = ending_of(name)
    if ending or "." in name[name.rfind("/") + 1 :].rstrip("."):
        return ending in ALL_ENDINGS
    return is_media(os.pread(stream.fileno(), 16, member.offset_data))


def _describe_end(stream: BinaryIO, end: int) -> str:
    """Return why a tar does not end at ``end``, where its last header was looked for; empty if it does."""
    stream.seek(end)
    block = stream.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        return "it is cut: the end mark is missing" if not block else "it is cut inside a header"
    if any(block):
        return "a header is unreadable"
    while block := stream.read(1 << 20):
        if any(block):
            return "a header is empty and more data follows"
    return ""
