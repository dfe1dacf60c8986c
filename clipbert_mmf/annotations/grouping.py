"""Packs millions of records into few arrays, and groups those that are about the same medium.

Python objects would be copied into every worker, one reference count at a time; arrays are shared by fork.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from clipbert_mmf.annotations.records import TextRecord

#: The fields of a caption beside its text, id and medium: all empty.
_NO_EXTRA = ((), None, "", (), (), None)


class PackedBytes:
    """Byte strings as one block and offsets.

    Args:
        block: ``(bytes,)`` uint8, all values one after the other.
        ends: ``(values + 1,)`` int64, where each value begins and the last one ends.
    """

    def __init__(self, block: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]):
        self._block, self._ends = block, ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> bytes:
        return self._block[self._ends[index] : self._ends[index + 1]].tobytes()


class PackedStrings:
    """Strings as one block of UTF-8 and offsets."""

    def __init__(self, strings: Iterable[str]):
        packer = _Packer()
        for string in strings:
            packer.add(_encode(string))
        self._bytes = packer.pack()

    @classmethod
    def from_bytes(cls, packed: PackedBytes) -> PackedStrings:
        """Return the strings whose UTF-8 is packed already."""
        strings = cls(())
        strings._bytes = packed
        return strings

    def __len__(self) -> int:
        return len(self._bytes)

    def __getitem__(self, index: int) -> str:
        return self._bytes[index].decode("utf-8", "surrogatepass")


def _encode(string: str) -> bytes:
    return string.encode("utf-8", "surrogatepass")


class _Packer:
    """Grows a block without an object per value: five million captions are read one by one."""

    def __init__(self) -> None:
        self._block, self._ends = bytearray(), array("q", [0])

    def add(self, value: bytes) -> None:
        self._block += value
        self._ends.append(len(self._block))

    def pack(self) -> PackedBytes:
        return PackedBytes(
            np.frombuffer(self._block, dtype=np.uint8), np.frombuffer(self._ends, dtype=np.int64)
        )


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
        media_of_row: npt.NDArray[np.int64],
        media_keys: PackedStrings,
        rest: PackedBytes | None,
    ):
        self._texts, self._text_ids, self._rest = texts, text_ids, rest
        self.media_of_row, self.media_keys = media_of_row, media_keys

    @classmethod
    def from_records(cls, records: Iterable[TextRecord]) -> PackedRecords:
        """Pack records in order, without keeping any of them."""
        texts, ids, rest, media = _Packer(), _Packer(), _Packer(), array("q")
        keys: dict[str, int] = {}
        has_rest = False
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
            has_rest = has_rest or extra != _NO_EXTRA
        media_of_row = np.frombuffer(media, dtype=np.int64) if len(media) else np.zeros(0, dtype=np.int64)
        return cls(
            PackedStrings.from_bytes(texts.pack()),
            PackedStrings.from_bytes(ids.pack()),
            media_of_row,
            PackedStrings(keys),
            rest.pack() if has_rest else None,
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

    def rows(self, media: int) -> npt.NDArray[np.int64]:
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
