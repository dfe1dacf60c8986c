"""Reads media behind anything iopath's path manager can open, such as ``s3://`` once a handler for it is registered.

Register handlers on ``iopath.common.file_io.g_pathmgr``; workers started by spawn must import the module that
does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipbert_mmf.video.errors import MissingMediaError, StoreError
from clipbert_mmf.video.stores.base import MediaStore, key_of


class IopathStore(MediaStore):
    """A remote folder, listed once, or a pattern with ``{key}`` where listing is too much to ask.

    Args:
        location: ``scheme://folder`` or ``scheme://folder/{key}.mp4``.
        cache_dir: folder on a local disk that keeps what was read, or None to read anew each time.
    """

    def __init__(self, location: str, cache_dir: str | None = None):
        super().__init__(location)
        self.cache_dir = cache_dir
        self._names: dict[str, str] | None = None

    def _open(self) -> Any:
        try:
            # Without annotations of its own.
            from iopath.common.file_io import g_pathmgr  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise StoreError("pip install iopath to read it", "", self.location) from error
        if "{key}" not in self.location and self._names is None:
            self._names = self._list_remote(g_pathmgr)
        return g_pathmgr

    def _list_remote(self, manager: Any) -> dict[str, str]:
        try:
            names = sorted(manager.ls(self.location))
        except Exception as error:  # handlers raise whatever their client library raises
            raise StoreError(f"cannot be listed: {error}", "", self.location) from error
        return {key_of(os.path.basename(name)): os.path.basename(name) for name in reversed(names)}

    def _path(self, key: str) -> str | None:
        if self._names is None:
            return self.location.format(key=key) if key else None
        name = self._names.get(key)
        slash = "" if self.location.endswith("/") else "/"
        return None if name is None else f"{self.location}{slash}{name}"

    def _find(self, handle: Any, key: str) -> bytes | Path | None:
        path = self._path(key)
        if path is None:
            return None
        if self.cache_dir is None:
            return self._download(handle, path, key)
        # One folder per store, so that equal names of different stores do not meet.
        folder = Path(self.cache_dir, hashlib.sha1(self.location.encode()).hexdigest()[:12])
        cached = folder / os.path.basename(path)
        if not cached.is_file():
            data = self._download(handle, path, key)
            folder.mkdir(parents=True, exist_ok=True)
            part = cached.with_name(f"{cached.name}.{os.getpid()}.part")
            part.write_bytes(data)
            part.replace(cached)
        return cached

    def _download(self, handle: Any, path: str, key: str) -> bytes:
        try:
            with handle.open(path, "rb") as stream:
                return stream.read()
        except FileNotFoundError as error:
            raise MissingMediaError(f"no file {path}", key, self.location) from error
        except Exception as error:  # as above
            raise StoreError(f"reading {path} failed: {error}", key, self.location) from error

    def _list(self, handle: Any) -> Iterator[str]:
        if self._names is None:
            raise StoreError(
                "a pattern with {key} cannot be listed; give the folder instead", "", self.location
            )
        return iter(sorted(self._names))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        handle, path = self.handle, self._path(key)
        return path is not None and (self._names is not None or bool(handle.exists(path)))
