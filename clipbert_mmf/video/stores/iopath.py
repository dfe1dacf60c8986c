"""Reads media behind anything iopath's path manager can open, such as ``s3://`` once a handler for it is registered.

Register handlers on ``iopath.common.file_io.g_pathmgr``; workers started by spawn must import the module that
does.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipbert_mmf.video.endings import ALL_ENDINGS, choose_names, ending_of
from clipbert_mmf.video.errors import MediaError, MissingMediaError, StoreError
from clipbert_mmf.video.sources import read_stream
from clipbert_mmf.video.stores.base import MediaStore
from clipbert_mmf.video.stores.names import NameIndex, is_safe_name, make_key, split_readable
from clipbert_mmf.writing import PARTIAL, WriteError, naming, replacing

logger = logging.getLogger(__name__)


class IopathStore(MediaStore):
    """A remote folder, listed once, or a pattern with ``{key}`` where listing is too much to ask.

    Args:
        location: ``scheme://folder`` or ``scheme://folder/{key}.mp4``.
        cache_dir: folder on a local disk that keeps what was read, or None to read anew each time.
        media: ``video`` or ``image``; None takes videos where there are any, else images.
    """

    def __init__(self, location: str, cache_dir: str | None = None, media: str | None = None):
        super().__init__(location)
        self.cache_dir = cache_dir
        self._media = media
        self._names: NameIndex | None = None
        #: Whether it was told that the cache cannot be written.
        self._tells = False

    def _open(self) -> Any:
        try:
            # Without annotations of its own.
            from iopath.common.file_io import g_pathmgr  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise StoreError("pip install iopath to read it", "", self.location) from error
        if "{key}" not in self.location and self._names is None:
            self._names = self._list_remote(g_pathmgr)
        return g_pathmgr

    def _list_remote(self, manager: Any) -> NameIndex:
        names: list[str] = []
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                found = sorted(manager.ls(self._join(folder)))
            except Exception as error:  # handlers raise whatever their client library raises
                if not folder:
                    scheme = self.location.partition("://")[0]
                    raise StoreError(
                        f"cannot be listed: {error}; iopath must know the scheme '{scheme}' (a handler of g_pathmgr)",
                        "",
                        self.location,
                    ) from error
                logger.warning("%s cannot be listed and is left out: %s", self._join(folder), error)
                continue
            for entry in found:
                last = os.path.basename(entry.rstrip("/"))
                name = f"{folder}/{last}" if folder else last
                if last.startswith("."):
                    continue
                # A name with an ending is no folder: asking would cost a request each.
                if not ending_of(last) and self._is_folder(manager, name):
                    waiting.append(name)
                elif ending_of(last) in ALL_ENDINGS or not ending_of(last):
                    names.append(name)
        return NameIndex(
            choose_names(split_readable(sorted(names), self.location), self._media), self.location
        )

    def _is_folder(self, manager: Any, name: str) -> bool:
        try:
            return bool(manager.isdir(self._join(name)))
        except Exception:  # a handler need not know
            return False

    def _join(self, name: str) -> str:
        slash = "" if self.location.endswith("/") or not name else "/"
        return f"{self.location}{slash}{name}"

    def resolve(self, name: str) -> str | None:
        """Return the key of a name; see ``MediaStore.resolve``. With a pattern, any name is taken for one of a file."""
        if self.handle is not None and self._names is not None:
            return self._names.find(name)
        return make_key(name) or None

    def path_of(self, key: str) -> str:
        """Return the path below the location; see ``MediaStore.path_of``."""
        return key if self.handle is None or self._names is None else self._names.names.get(key, key)

    def _path(self, key: str) -> str | None:
        if self._names is None:
            # A key of a table must not lead out of the store, nor out of the cache.
            return self.location.format(key=make_key(key)) if key and is_safe_name(make_key(key)) else None
        found = key if key in self._names.names else self._names.find(key)
        return None if found is None else self._join(self._names.names[found])

    def _find(self, handle: Any, key: str) -> bytes | Path | None:
        path = self._path(key)
        if path is None:
            return None
        if self.cache_dir is None:
            return self._download(handle, path, key)
        # One folder per store, so that equal names of different stores do not meet.
        folder = Path(self.cache_dir, hashlib.sha1(self.location.encode()).hexdigest()[:12])
        cached = folder / path.removeprefix(self.location.split("{key}")[0]).lstrip("/")
        if not cached.is_file():
            data = self._download(handle, path, key)
            try:
                with naming(cached):
                    cached.parent.mkdir(parents=True, exist_ok=True)
                with replacing(cached, cached.with_name(f"{cached.name}.{os.getpid()}{PARTIAL}")) as partial:
                    partial.write_bytes(data)
            except WriteError as error:
                if not self._tells:
                    logger.warning("%s; media are read anew each time", error)
                self._tells = True
                return data
        return cached

    def _download(self, handle: Any, path: str, key: str) -> bytes:
        try:
            with handle.open(path, "rb") as stream:
                return read_stream(stream)
        except MediaError as error:
            raise type(error)(error.reason, key, self.location) from error
        except FileNotFoundError as error:
            raise MissingMediaError(f"no file {path}", key, self.location) from error
        except Exception as error:  # as above
            raise StoreError(f"reading {path} failed: {error}", key, self.location) from error

    def _list(self, handle: Any) -> Iterator[str]:
        if self._names is None:
            raise StoreError(
                "a pattern with {key} cannot be listed; give the folder instead", "", self.location
            )
        return iter(sorted(self._names.names))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        handle, path = self.handle, self._path(key)
        return path is not None and (self._names is not None or bool(handle.exists(path)))
