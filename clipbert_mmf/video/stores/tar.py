"""Reads media in tar shards, the WebDataset convention, read at random through an index.

A shard is a plain tar; the index beside it (``<shard>.index``) says where each member's bytes start, so that one read
is one ``pread``. An index that is missing or older than its shard is made on the spot from the tar's headers.
"""

from __future__ import annotations

import json
import logging
import os
import tarfile
from collections.abc import Iterator
from glob import escape, glob
from pathlib import Path
from typing import Any

from clipbert_mmf.video.errors import StoreError, TruncatedMediaError
from clipbert_mmf.video.stores.base import MediaStore, key_of

logger = logging.getLogger(__name__)

#: Endings of the files beside a medium in a WebDataset sample.
_SIDE_FILES = (".json", ".txt", ".cls", ".csv", ".tsv", ".npy", ".pyd", ".index")
INDEX_SUFFIX = ".index"


class TarStore(MediaStore):
    """Tar shards, read-only.

    Args:
        location: a folder of ``*.tar``, one tar, or a pattern such as ``videos-*.tar``.
    """

    def _open(self) -> dict[str, tuple[str, int, int]]:
        shards = find_shards(self.location)
        if not shards:
            raise StoreError("no tar shard is there", "", self.location)
        self._files: dict[str, int] = {}
        places: dict[str, tuple[str, int, int]] = {}
        for shard in shards:
            for key, (offset, size) in read_index(shard).items():
                places.setdefault(key, (shard, offset, size))
        return places

    def _find(self, handle: dict[str, tuple[str, int, int]], key: str) -> bytes | None:
        if key not in handle:
            return None
        shard, offset, size = handle[key]
        if shard not in self._files:
            self._files[shard] = os.open(shard, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        # pread has no file position that workers could share by accident.
        data = os.pread(self._files[shard], size, offset)
        if len(data) < size:
            raise TruncatedMediaError(f"the shard {shard} ends before its index says so", key, self.location)
        return data

    def _list(self, handle: dict[str, tuple[str, int, int]]) -> Iterator[str]:
        return iter(sorted(handle))

    def __contains__(self, key: object) -> bool:
        return key in self.handle

    def __len__(self) -> int:
        return len(self.handle)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_files": {}}


def find_shards(location: str) -> list[str]:
    """Return the tar files at a folder, file or pattern, in order."""
    if os.path.isdir(location):
        return sorted(glob(os.path.join(escape(location), "*.tar")))
    return [location] if os.path.isfile(location) else sorted(glob(location))


def read_index(shard: str) -> dict[str, tuple[int, int]]:
    """Return key to (offset, size) of every medium in a shard.

    Raises:
        StoreError: if the shard is no plain tar.
    """
    path, stamp = Path(shard + INDEX_SUFFIX), _stamp(shard)
    if path.is_file():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["shard"] == stamp:
                return {key: (offset, size) for key, (offset, size) in content["places"].items()}
            logger.info("%s is older than its shard; made anew", path)
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is broken; made anew", path)
    places = _scan(shard)
    write_index(shard, places)
    return places


def write_index(shard: str, places: dict[str, tuple[int, int]]) -> None:
    """Write a shard's index beside it; a folder that cannot be written is no error."""
    path = Path(shard + INDEX_SUFFIX)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(
            json.dumps({"shard": _stamp(shard), "places": places}, ensure_ascii=False), encoding="utf-8"
        )
        part.replace(path)
    except OSError as error:
        logger.info("the index of %s cannot be kept: %s", shard, error)


def _stamp(shard: str) -> list[int]:
    state = os.stat(shard)
    return [state.st_size, state.st_mtime_ns]


def _scan(shard: str) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if member.isfile() and not name.startswith(".") and not name.lower().endswith(_SIDE_FILES):
                    places.setdefault(key_of(name), (member.offset_data, member.size))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise StoreError(
            f"{shard} is no plain tar (compressed ones cannot be read at random): {error}"
        ) from error
    return places
