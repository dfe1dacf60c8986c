"""Chooses the store that fits a location: a folder, an LMDB, tar shards or a URL for iopath."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.stores.base import MediaStore
from clipbert_mmf.video.stores.folder import FolderStore, walk_folder
from clipbert_mmf.video.stores.iopath import IopathStore
from clipbert_mmf.video.stores.lmdb import LmdbStore
from clipbert_mmf.video.stores.tar import TarStore, find_shards
from clipbert_mmf.video.stores.union import UnionStore

#: Kind of store -> ``open(location, cache_dir, media)``. A store imports its library when it is opened, not before.
STORES: dict[str, Callable[[str, str | None, str | None], MediaStore]] = {
    "folder": lambda location, cache_dir, media: FolderStore(location, media),
    "lmdb": lambda location, cache_dir, media: LmdbStore(location, media),
    "tar": lambda location, cache_dir, media: TarStore(location, media),
    "iopath": IopathStore,
}
#: Endings of archives in which no single medium can be read.
_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rar", ".gz")
_EXPECTED = "expected a folder of files, an LMDB, tar shards, or something://..."


def open_store(
    location: str | Path | Sequence[str],
    kind: str = "auto",
    cache_dir: str | None = None,
    media: str | None = None,
) -> MediaStore:
    """Return the store at ``location``; nothing is opened before the first read.

    Args:
        location: a folder of files (searched at any depth); an LMDB (its folder or its ``data.mdb``); a
            folder, file or pattern of ``*.tar``; or ``scheme://...`` for iopath, where ``{key}`` may stand
            for the key. Several of them are one store of all their keys.
        kind: a key of ``STORES``, or ``auto``: told apart by what is there.
        cache_dir: local folder in which an iopath store keeps what it read, or None.
        media: ``video`` or ``image``, the media to take; None takes videos where there are any, else images.

    Raises:
        StoreError: for an unknown kind, or when nothing is at ``location``.
    """
    if not isinstance(location, (str, Path)):
        return UnionStore([open_store(one, kind, cache_dir, media) for one in location])
    location = str(location)
    if location.startswith("file://"):
        location = url2pathname(urlsplit(location).path)
    if kind == "auto":
        kind = detect_store(location)
    if kind not in STORES:
        raise StoreError(
            f"store kind is '{kind}'; allowed are auto, {', '.join(sorted(STORES))}", "", location
        )
    return STORES[kind](location, cache_dir, media)


def detect_store(location: str) -> str:
    """Return the kind of store at ``location``.

    Raises:
        StoreError: when nothing is there, or a file that is no store.
    """
    if "://" in location:
        return "iopath"
    path = Path(location)
    if path.is_dir():
        if (path / "data.mdb").is_file():
            return "lmdb"
        return "tar" if _holds_shards(location) else "folder"
    if path.suffix in (".mdb", ".lmdb") and path.is_file():
        return "lmdb"
    if path.suffix == ".tar" and find_shards(location):
        return "tar"
    what = "a file that is no store" if path.is_file() else "nothing is there"
    hint = " (unpack it first)" if path.is_file() and path.name.lower().endswith(_ARCHIVES) else ""
    raise StoreError(f"{what}{hint}; {_EXPECTED}", "", location)


def _holds_shards(folder: str) -> bool:
    """Return whether a folder holds tar shards and no media, whatever downloaders and writers left beside them."""
    if not any(entry.name.endswith(".tar") for entry in os.scandir(folder)):
        return False
    return not any(found.videos or found.images for found in walk_folder(folder))
