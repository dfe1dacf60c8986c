"""Millions of records in few arrays, and which of them are about the same medium. Between parsers and ``tasks``.

Python objects would be copied into every worker, one reference count at a time; arrays are shared by fork.
"""

from __future__ import annotations

import pickle
from typing import Iterable

import numpy as np

from clipbert_mmf.datasets.annotations.records import TextRecord


class PackedStrings:
    """Strings as one block of UTF-8 and offsets."""

    def __init__(self, strings: Iterable[str]):
        block, ends = bytearray(), [0]
        for string in strings:
            block += string.encode("utf-8", "surrogatepass")
            ends.append(len(block))
        self._block = np.frombuffer(bytes(block), dtype=np.uint8)
        self._ends = np.asarray(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._block[self._ends[index] : self._ends[index + 1]].tobytes().decode("utf-8", "surrogatepass")


class PackedRecords:
    """Records by row; media keys are stored once each.

    Attributes:
        media_of_row: ``(rows,)`` int64, index of each row's medium, in order of first appearance.
        media_keys: the media's keys.
    """

    def __init__(self, texts: list[str], text_ids: list[str], media_of_row: np.ndarray, keys: list[str], rest: list[bytes]):
        self._texts, self._text_ids = PackedStrings(texts), PackedStrings(text_ids)
        self.media_of_row, self.media_keys = media_of_row, PackedStrings(keys)
        self._rest = PackedBytes(rest) if any(rest) else None

    @classmethod
    def from_records(cls, records: Iterable[TextRecord]) -> PackedRecords:
        """Pack records in order."""
        texts, ids, media, rest, keys = [], [], [], [], {}
        for record in records:
            texts.append(record.text)
            ids.append(record.text_id)
            media.append(keys.setdefault(record.media_key, len(keys)))
            extra = (record.options, record.answer, record.answer_type, record.soft_answers, record.all_answers,
                     record.window_sec)
            rest.append(b"" if extra == ((), None, "", (), (), None) else pickle.dumps(extra, protocol=5))
        return cls(texts, ids, np.asarray(media, dtype=np.int64), list(keys), rest)

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, row: int) -> str:
        """Return a row's text alone."""
        return self._texts[row]

    def __getitem__(self, row: int) -> TextRecord:
        key = self.media_keys[int(self.media_of_row[row])]
        extra = pickle.loads(self._rest[row]) if self._rest is not None and len(self._rest[row]) else ()
        return TextRecord(key, self._texts[row], self._text_ids[row], *extra)


class PackedBytes(PackedStrings):
    """As ``PackedStrings``, for bytes."""

    def __init__(self, values: list[bytes]):
        self._block = np.frombuffer(b"".join(values), dtype=np.uint8)
        self._ends = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int64)

    def __getitem__(self, index: int) -> bytes:
        return self._block[self._ends[index] : self._ends[index + 1]].tobytes()


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
