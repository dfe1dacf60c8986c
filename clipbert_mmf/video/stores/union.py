"""Joins several stores into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from clipbert_mmf.video.endings import strip_ending
from clipbert_mmf.video.errors import AmbiguousNameError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.stores.base import MediaStore
from clipbert_mmf.video.stores.names import clean_name, make_key


class UnionStore(MediaStore):
    """Several stores as one. A name that leads to media of several of them is an error."""

    def __init__(self, stores: Sequence[MediaStore]):
        super().__init__(" + ".join(store.location for store in stores))
        self._stores = list(stores)
        self._places: dict[str, tuple[MediaStore, str]] = {}

    def _open(self) -> list[MediaStore]:
        return self._stores

    def _place(self, name: str) -> tuple[MediaStore, str] | None:
        """Return the store that has a medium and its key there."""
        if name in self._places:
            return self._places[name]
        found = [(store, key) for store in self._stores if (key := store.resolve(name)) is not None]
        # The whole path of a medium goes before the end of one, and that before a path that is longer.
        ranks = [_rank_fit(make_key(name), strip_ending(key), store.location) for store, key in found]
        if self._names_a_store(name):
            # The folder of a store in the name is no folder that does not count.
            found = [place for place, rank in zip(found, ranks, strict=True) if rank < _LOOSE]
            ranks = [rank for rank in ranks if rank < _LOOSE]
        exact = [place for place, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
        first = exact[0] if exact else None
        for store, key in exact[1:]:
            one, other = exact[0][0].find(exact[0][1]), store.find(key)
            # The same store or file may be given twice.
            if one == other or (isinstance(one, Path) and isinstance(other, Path) and one.samefile(other)):
                continue
            places = ", ".join(f"'{key}' in {store.location}" for store, key in exact)
            raise AmbiguousNameError(
                f"the name stands for media of {len(exact)} stores: {places}; give the stores other folders or names",
                name,
                self.location,
            )
        if first is not None:
            self._places[name] = first
        return first

    def _names_a_store(self, name: str) -> bool:
        folders = clean_name(name).strip("/").split("/")[:-1]
        return any(_own_folder(store.location) in folders for store in self._stores)

    def resolve(self, name: str) -> str | None:
        """Return the key of a name; see ``MediaStore.resolve``."""
        place = self._place(name)
        if place is None:
            return None
        # The key alone must lead to the same medium.
        again = self._place(place[1])
        if again is None or again[0] is not place[0]:
            raise AmbiguousNameError(
                f"the name stands for '{place[1]}' in {place[0].location}, a key that another store has too; give the "
                f"stores other folders or names",
                name,
                self.location,
            )
        return place[1]

    def _find(self, handle: list[MediaStore], key: str) -> bytes | Path | FrameFolder | None:
        place = self._place(key)
        return None if place is None else place[0].find(place[1])

    def stamp(self, key: str) -> str:
        """Return what changes when the medium does; see ``MediaStore.stamp``."""
        place = self._place(key)
        return "" if place is None else place[0].stamp(place[1])

    def find_damage(self) -> dict[str, str]:
        """Return the damaged parts of all stores, each with the reason."""
        return {part: reason for store in self._stores for part, reason in store.find_damage().items()}

    def _list(self, handle: list[MediaStore]) -> Iterator[str]:
        return iter(sorted({key for store in handle for key in store.keys()}))  # noqa: SIM118, a method, not a dict


#: Rank of a medium whose path has not all of the written folders.
_LOOSE = 2


def _rank_fit(written: str, key: str, location: str) -> int:
    if key == written:
        return 0
    whole = f"/{location.strip('/')}/{key}"
    return 1 if whole.endswith(f"/{written.lstrip('/')}") else _LOOSE


def _own_folder(location: str) -> str:
    return location.rstrip("/").rpartition("/")[2]
