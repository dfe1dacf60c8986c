"""Millions of records in few arrays, and which of them are about the same medium. Between parsers and ``tasks``.

Python objects would be copied into every worker, one reference count at a time; arrays are shared by fork.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterable

import numpy as np

from clipbert_mmf.annotations.records import TextRecord

#: What a caption has beside its text, id and medium: nothing.
_NO_EXTRA = ((), None, "", (), (), None)


class PackedBytes:
    """Byte strings as one block and offsets."""

    def __init__(self, values: Iterable[bytes]):
        packer = _Packer()
        for value in values:
            packer.add(value)
        self._block, self._ends = packer.finish()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> bytes:
        return self._block[self._ends[index] : self._ends[index + 1]].tobytes()


class PackedStrings(PackedBytes):
    """Strings as one block of UTF-8 and offsets."""

    def __init__(self, strings: Iterable[str]):
        super().__init__(_encode(string) for string in strings)

    def __getitem__(self, index: int) -> str:
        return super().__getitem__(index).decode("utf-8", "surrogatepass")


def _encode(string: str) -> bytes:
    return string.encode("utf-8", "surrogatepass")


class _Packer:
    """Grows a block without an object per value: five million captions are read one by one."""

    def __init__(self):
        self._block, self._ends = bytearray(), array("q", [0])

    def add(self, value: bytes) -> None:
        self._block += value
        self._ends.append(len(self._block))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        return np.frombuffer(self._block, dtype=np.uint8), np.frombuffer(self._ends, dtype=np.int64)

    def pack(self, kind: type[PackedBytes]):
        packed = kind.__new__(kind)
        packed._block, packed._ends = self.finish()
        return packed


class PackedRecords:
    """Records by row; media keys are stored once each.

    Attributes:
        media_of_row: ``(rows,)`` int64, index of each row's medium, in order of first appearance.
        media_keys: the media's keys.
    """

    def __init__(
        self,
        texts: PackedStrings,
        text_ids: PackedStrings,
        media_of_row: np.ndarray,
        media_keys: PackedStrings,
        rest: PackedBytes | None,
    ):
        self._texts, self._text_ids, self._rest = texts, text_ids, rest
        self.media_of_row, self.media_keys = media_of_row, media_keys

    @classmethod
    def from_records(cls, records: Iterable[TextRecord]) -> PackedRecords:
        """Pack records in order, without keeping any of them."""
        texts, ids, rest, media, keys = _Packer(), _Packer(), _Packer(), array("q"), {}
        for record in records:
            texts.add(_encode(record.text))
            ids.add(_encode(record.text_id))
            media.append(keys.setdefault(record.media_key, len(keys)))
            extra = (
                record.options,
                record.answer,
                record.answer_type,
                record.soft_answers,
                record.all_answers,
                record.window_sec,
            )
            rest.add(b"" if extra == _NO_EXTRA else pickle.dumps(extra, protocol=5))
        has_rest = len(rest.finish()[0]) > 0
        media_of_row = np.frombuffer(media, dtype=np.int64) if len(media) else np.zeros(0, dtype=np.int64)
        return cls(
            texts.pack(PackedStrings),
            ids.pack(PackedStrings),
            media_of_row,
            PackedStrings(keys),
            rest.pack(PackedBytes) if has_rest else None,
        )

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, row: int) -> str:
        """Return a row's text alone."""
        return self._texts[row]

    def __getitem__(self, row: int) -> TextRecord:
        key = self.media_keys[int(self.media_of_row[row])]
        extra = pickle.loads(self._rest[row]) if self._rest is not None and len(self._rest[row]) else ()
        return TextRecord(key, self._texts[row], self._text_ids[row], *extra)


class MediaGroups:
    """The rows of each medium.

    Attributes:
        media_of_row: ``(rows,)`` int64.
        counts: ``(media,)`` int64, rows of each.
    """

    def __init__(self, records: PackedRecords):
        self._keys = records.media_keys
        self.media_of_row = records.media_of_row
        self._order = np.argsort(self.media_of_row, kind="stable")
        self.counts = np.bincount(self.media_of_row, minlength=len(self._keys))
        self._ends = np.concatenate([[0], np.cumsum(self.counts)])
        self._index: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, media: int) -> str:
        """Return the medium's key in the store."""
        return self._keys[media]

    def rows(self, media: int) -> np.ndarray:
        """Return the medium's rows, ascending."""
        return self._order[self._ends[media] : self._ends[media + 1]]

    def find(self, key: str) -> int | None:
        """Return the index of a key, or None."""
        if self._index is None:
            self._index = {self._keys[media]: media for media in range(len(self))}
        return self._index.get(key)


def group_by_media(records: PackedRecords) -> MediaGroups:
    """Group rows that are about the same medium, wherever in the file they stand."""
    return MediaGroups(records)
