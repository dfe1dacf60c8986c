"""Joins several stores into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from clipbert_mmf.video.stores.base import MediaStore


class UnionStore(MediaStore):
    """Several stores as one; the first that has a key serves it."""

    def __init__(self, stores: Sequence[MediaStore]):
        super().__init__(" + ".join(store.location for store in stores))
        self._stores = list(stores)

    def _open(self) -> list[MediaStore]:
        return self._stores

    def _find(self, handle: list[MediaStore], key: str) -> bytes | Path | None:
        return next((found for store in handle if (found := store.find(key)) is not None), None)

    def _list(self, handle: list[MediaStore]) -> Iterator[str]:
        return iter(sorted({key for store in handle for key in store.keys()}))  # noqa: SIM118, a method, not a dict
