"""Reads media that are files below a folder, at any depth and with any extension."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.stores.base import MediaStore, key_of

logger = logging.getLogger(__name__)


class FolderStore(MediaStore):
    """Files below a folder, by their stem. The listing is made once.

    It is kept when the store crosses a process boundary, so that workers do not walk the folder again. Where
    two files share a stem, the first in the order of paths counts and a warning names both.
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
