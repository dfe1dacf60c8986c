"""Packs millions of records into few arrays, and groups those that are about the same part of the same medium.

Python objects would be copied into every worker, one reference count at a time; arrays are shared by fork.
"""

from __future__ import annotations

import math
import pickle
from array import array
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from clipbert_mmf.annotations.records import TextRecord

#: The fields of a caption beside its text, id and segment: all empty.
_NO_EXTRA = ((), None, "", (), ())


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

    def find_longest(self) -> int:
        """Return the index of the longest value."""
        return int(np.diff(self._ends).argmax())

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

    def find_longest(self) -> int:
        """Return the index of the longest string, in bytes."""
        return self._bytes.find_longest()

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


@dataclass(frozen=True)
class Segments:
    """The segment of each row; ``PackedRecords`` has the meaning of the fields."""

    segment_of_row: npt.NDArray[np.int64]
    media_of_segment: npt.NDArray[np.int64]
    window_of_segment: npt.NDArray[np.float64]
    media_keys: PackedStrings


class _SegmentPacker:
    """Numbers media and segments in order of first appearance."""

    def __init__(self) -> None:
        self._segment_of_row, self._media_of_segment, self._windows = array("q"), array("q"), array("d")
        self._media: dict[str, int] = {}
        self._segments: dict[tuple[int, tuple[float, float] | None], int] = {}

    def add(self, key: str, window_sec: tuple[float, float] | None) -> None:
        media = self._media.setdefault(key, len(self._media))
        segment = self._segments.setdefault((media, window_sec), len(self._segments))
        if segment == len(self._media_of_segment):
            self._media_of_segment.append(media)
            self._windows.extend(window_sec or (math.nan, math.nan))
        self._segment_of_row.append(segment)

    def pack(self) -> Segments:
        return Segments(
            np.array(self._segment_of_row, dtype=np.int64),
            np.array(self._media_of_segment, dtype=np.int64),
            np.array(self._windows, dtype=np.float64).reshape(-1, 2),
            PackedStrings(self._media),
        )


class PackedRecords:
    """Records by row. A segment is a medium with the part of it that a row is about, or with all of it.

    Attributes:
        segment_of_row: ``(rows,)`` int64, index of each row's segment, in order of first appearance.
        media_of_segment: ``(segments,)`` int64, index of each segment's medium, in order of first appearance.
        window_of_segment: ``(segments, 2)`` float64 seconds, NaN where a segment is the whole medium.
        media_keys: the media's keys, once each.
    """

    def __init__(
        self,
        texts: PackedStrings,
        text_ids: PackedStrings,
        rest: PackedBytes | None,
        segments: Segments,
    ):
        self._texts, self._text_ids, self._rest = texts, text_ids, rest
        self.segment_of_row = segments.segment_of_row
        self.media_of_segment = segments.media_of_segment
        self.window_of_segment = segments.window_of_segment
        self.media_keys = segments.media_keys

    @classmethod
    def from_records(cls, records: Iterable[TextRecord]) -> PackedRecords:
        """Pack records in order, without keeping any of them."""
        texts, ids, rest, segments = _Packer(), _Packer(), _Packer(), _SegmentPacker()
        has_rest = False
        for record in records:
            texts.add(_encode(record.text))
            ids.add(_encode(record.text_id))
            segments.add(record.media_key, record.window_sec)
            extra = (
                record.options,
                record.answer,
                record.answer_type,
                record.soft_answers,
                record.all_answers,
            )
            rest.add(b"" if extra == _NO_EXTRA else pickle.dumps(extra, protocol=5))
            has_rest = has_rest or extra != _NO_EXTRA
        return cls(
            PackedStrings.from_bytes(texts.pack()),
            PackedStrings.from_bytes(ids.pack()),
            rest.pack() if has_rest else None,
            segments.pack(),
        )

    def rename_media(self, rename: Callable[[str], str]) -> PackedRecords:
        """Return the records with other keys; media that get one key become one medium.

        Args:
            rename: new key of a key; called once per medium.
        """
        old = [self.media_keys[media] for media in range(len(self.media_keys))]
        names = [rename(key) for key in old]
        if names == old:
            return self
        packer = _SegmentPacker()
        for segment, media in enumerate(self.media_of_segment.tolist()):
            packer.add(names[media], self.window_sec(segment))
        renamed = packer.pack()
        # The packer took each old segment for a row.
        segments = replace(renamed, segment_of_row=renamed.segment_of_row[self.segment_of_row])
        return PackedRecords(self._texts, self._text_ids, self._rest, segments)

    def drop_media(self, keys: Collection[str]) -> PackedRecords:
        """Return the records that are about other media than these."""
        dropped = frozenset(keys)
        rows = (self[row] for row in range(len(self)))
        return PackedRecords.from_records(record for record in rows if record.media_key not in dropped)

    def window_sec(self, segment: int) -> tuple[float, float] | None:
        """Return start and end of a segment, or None where it is the whole medium."""
        start, end = self.window_of_segment[segment].tolist()
        return None if start != start else (start, end)

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, row: int) -> str:
        """Return a row's text alone."""
        return self._texts[row]

    def find_longest(self) -> int:
        """Return the row whose text is longest, in bytes."""
        return self._texts.find_longest()

    def __getitem__(self, row: int) -> TextRecord:
        segment = int(self.segment_of_row[row])
        key = self.media_keys[int(self.media_of_segment[segment])]
        extra = pickle.loads(self._rest[row]) if self._rest is not None and len(self._rest[row]) else ()
        window_sec = self.window_sec(segment)
        return TextRecord(key, self._texts[row], self._text_ids[row], *extra, window_sec=window_sec)


class SegmentGroups:
    """The rows of each segment: of a medium and the part of it that they are about.

    Attributes:
        segment_of_row: ``(rows,)`` int64.
        counts: ``(segments,)`` int64, rows of each.
    """

    def __init__(self, records: PackedRecords):
        self._records = records
        self.segment_of_row = records.segment_of_row
        self._order = np.argsort(self.segment_of_row, kind="stable")
        self.counts = np.bincount(self.segment_of_row, minlength=len(records.media_of_segment))
        self._ends = np.concatenate([[0], np.cumsum(self.counts)])
        self._index: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def num_media(self) -> int:
        """Number of distinct media."""
        return len(self._records.media_keys)

    def key(self, segment: int) -> str:
        """Return the key of the segment's medium in the store."""
        return self._records.media_keys[int(self._records.media_of_segment[segment])]

    def window_sec(self, segment: int) -> tuple[float, float] | None:
        """Return start and end of the segment, or None where it is the whole medium."""
        return self._records.window_sec(segment)

    def rows(self, segment: int) -> npt.NDArray[np.int64]:
        """Return the segment's rows, ascending."""
        return self._order[self._ends[segment] : self._ends[segment + 1]]

    def find_segments(self, key: str, window_sec: tuple[float, float] | None = None) -> list[int]:
        """Return the segment of a medium that is one part of it, or with None all its segments.

        None where it has none.
        """
        if self._index is None:
            keys = self._records.media_keys
            self._index = {keys[media]: media for media in range(len(keys))}
        media = self._index.get(key)
        if media is None:
            return []
        found: list[int] = np.flatnonzero(self._records.media_of_segment == media).tolist()
        return [one for one in found if window_sec is None or self.window_sec(one) == window_sec]

    def overlap(self, first: int, second: int) -> bool:
        """Return whether two segments show the same medium at the same time."""
        if self._records.media_of_segment[first] != self._records.media_of_segment[second]:
            return False
        windows = self.window_sec(first), self.window_sec(second)
        if windows[0] is None or windows[1] is None:
            return True
        return max(windows[0][0], windows[1][0]) < min(windows[0][1], windows[1][1])


def group_by_segment(records: PackedRecords) -> SegmentGroups:
    """Group rows that are about the same part of the same medium, wherever in the file they stand."""
    return SegmentGroups(records)
