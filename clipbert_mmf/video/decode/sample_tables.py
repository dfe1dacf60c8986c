"""Reads when the frames of an MP4 are shown from its sample tables, in place of all its packets.

Only tables that leave no room for two readings are taken: one sample description, no fragments, at most one edit,
which shows every frame, times that grow, all samples inside the file. FFmpeg's own index is asked at some places
whether it sees the same samples. For other files packets are read.
"""

from __future__ import annotations

import io
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from clipbert_mmf.video.arrays import Indices
from clipbert_mmf.video.decode.packets import PacketTable
from clipbert_mmf.video.sources import open_source

#: Codecs of which FFmpeg passes each sample on as one packet, with the marks of the tables.
_CODECS = ("h264", "hevc", "mpeg4")
#: Boxes of a track's tables; any other may change what is a key frame or which samples there are.
_TABLES = frozenset((b"stsd", b"stts", b"ctts", b"stss", b"stsz", b"stsc", b"stco", b"co64"))
_WITHOUT_EFFECT = frozenset((b"sdtp", b"cslg", b"free", b"skip"))
#: Largest header that is read.
_MAX_HEADER_BYTES = 64 * 2**20
#: Samples at which FFmpeg's index is compared.
_NUM_COMPARED = 4

_Box = tuple[bytes, memoryview]


class _UnsureError(Exception):
    """The tables are missing, or leave room for two readings."""


def read_sample_table(
    source: bytes | Path, container: InputContainer, stream: VideoStream
) -> PacketTable | None:
    """Return the packets of a stream as its sample tables tell them.

    Args:
        source: the encoded bytes, or a file.
        container: the same, opened; nothing is read from it.
        stream: one of its streams.

    Returns:
        The table, without packets; None where they have to be read.
    """
    codec = stream.codec_context.codec.canonical_name
    index: Any = getattr(stream, "index_entries", None)  # PyAV 16 has none
    if "mp4" not in container.format.name.split(",") or codec not in _CODECS or not index:
        return None
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            table = _read_table(io.BytesIO(source), len(source), container, stream, codec)
        else:
            with open_source(source) as file:
                table = _read_table(file, os.fstat(file.fileno()).st_size, container, stream, codec)
    except (_UnsureError, OSError, KeyError, IndexError, ValueError, struct.error):
        return None
    return table if _agrees(table, index) else None


def _read_table(
    file: BinaryIO, num_bytes: int, container: InputContainer, stream: VideoStream, codec: str
) -> PacketTable:
    movie = _list_boxes(_read_header(file, num_bytes))
    _require(all(kind != b"mvex" for kind, _ in movie))  # samples in fragments
    track = _find_track(movie, stream.id)
    media = _list_boxes(_only(track, b"mdia"))
    ticks_per_sec = _read_clock(_only(media, b"mdhd"))
    boxes = _list_boxes(_only(_list_boxes(_only(media, b"minf")), b"stbl"))
    tables = dict(boxes)
    _require(
        stream.time_base == Fraction(1, ticks_per_sec)
        and len(tables) == len(boxes)
        and not tables.keys() - _TABLES - _WITHOUT_EFFECT
        and _read_count(tables[b"stsd"]) == 1
    )
    sizes = _read_sizes(tables[b"stsz"])
    _require_inside(sizes, tables, num_bytes)
    durations = _read_runs(tables[b"stts"], len(sizes))
    dts = np.cumsum(durations) - durations
    shown = dts + _read_runs(tables[b"ctts"], len(sizes)) if b"ctts" in tables else dts
    is_key = np.full(len(sizes), b"stss" not in tables)
    if b"stss" in tables:
        keys = _read_numbers(tables[b"stss"], ">u4", 8, _read_count(tables[b"stss"])) - 1
        _require(len(keys) > 0 and int(keys[0]) == 0 and bool((np.diff(keys) > 0).all()))
        is_key[keys] = True
    # Negative values are large ones here.
    _require(int(durations.min()) > 0 and int(durations.max()) < 2**31 and int((shown - dts).max()) < 2**31)
    shift = _read_shift(track, _read_clock(_only(movie, b"mvhd")), ticks_per_sec, shown, durations, is_key)
    return PacketTable(
        pts=shown - shift,
        dts=dts - shift,
        is_key=is_key,
        is_shown=np.ones(len(sizes), dtype=bool),
        last_ticks=int(durations[shown.argmax()]),
        container=container.format.name,
        codec=codec,
        kept=None,
    )


def _read_shift(
    track: list[_Box],
    movie_ticks_per_sec: int,
    ticks_per_sec: int,
    shown: Indices,
    durations: Indices,
    is_key: npt.NDArray[np.bool_],
) -> int:
    """Return what the track's edit takes from all times.

    Raises:
        _UnsureError: unless the edit starts with the first frame and ends after the last; one that is empty may
            come before it.
    """
    boxes = [content for kind, content in track if kind == b"edts"]
    if not boxes:
        return 0
    edits = _only(_list_boxes(boxes[0]), b"elst")
    form = ">QqI" if edits[0] else ">IiI"
    entries = list(struct.iter_unpack(form, edits[8:]))
    _require(len(boxes) == 1 and len(entries) == _read_count(edits) and 1 <= len(entries) <= 2)
    wait = 0
    if len(entries) == 2:
        length, start, _ = entries.pop(0)
        _require(start == -1)
        wait = (length * ticks_per_sec * 2 + movie_ticks_per_sec) // (2 * movie_ticks_per_sec)
    length, start, speed = entries[0]
    end = start + length * ticks_per_sec // movie_ticks_per_sec
    # FFmpeg stops at the first key frame that reaches the end.
    reaches = np.flatnonzero(is_key & (shown + durations >= end))
    _require(
        speed == 1 << 16
        and start == int(shown.min())
        and int(shown.max()) < end
        and (not len(reaches) or int(reaches[0]) == len(shown) - 1)
    )
    return start - wait


def _require_inside(sizes: Indices, tables: dict[bytes, memoryview], num_bytes: int) -> None:
    """Raise ``_UnsureError`` unless every sample lies in the file and none is empty."""
    kind, size = (b"stco", 4) if b"stco" in tables else (b"co64", 8)
    _require((b"stco" in tables) != (b"co64" in tables))
    chunks = _read_numbers(tables[kind], f">u{size}", 8, _read_count(tables[kind]))
    runs = _read_numbers(tables[b"stsc"], ">u4", 8, 3 * _read_count(tables[b"stsc"]))
    firsts, run_counts, descriptions = runs[::3], runs[1::3], runs[2::3]
    _require(len(chunks) > 0 and len(firsts) > 0 and int(firsts[0]) == 1 and int(sizes.min()) > 0)
    lengths = np.empty_like(firsts)
    np.subtract(firsts[1:], firsts[:-1], out=lengths[:-1])
    lengths[-1] = len(chunks) + 1 - firsts[-1]
    _require(int(lengths.min()) > 0 and int(run_counts.min()) > 0 and bool((descriptions == 1).all()))
    counts = np.repeat(run_counts, lengths)
    ends = counts.cumsum()
    _require(int(ends[-1]) == len(sizes))
    chunk_bytes = np.add.reduceat(sizes, ends - counts)
    _require(int(chunks.min()) > 0 and int((chunks + chunk_bytes).max()) <= num_bytes)


def _agrees(table: PacketTable, index: Any) -> bool:
    """Return whether FFmpeg's index has the same samples: their number, and some of their times and marks."""
    if len(index) != len(table):
        return False
    places = np.linspace(0, len(table) - 1, min(_NUM_COMPARED, len(table))).astype(int).tolist()
    return all(
        (entry.timestamp, entry.is_keyframe, entry.is_discard)
        == (int(table.dts[place]), bool(table.is_key[place]), False)
        for place in places
        for entry in (index[place],)
    )


def _read_header(file: BinaryIO, num_bytes: int) -> memoryview:
    position = 0
    while position + 8 <= num_bytes:
        file.seek(position)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        start = 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        if kind == b"moov":
            _require(start < length <= _MAX_HEADER_BYTES)
            file.seek(position + start)
            return memoryview(file.read(length - start))
        _require(length >= start and kind != b"moof")
        position += length
    raise _UnsureError


def _list_boxes(data: memoryview) -> list[_Box]:
    boxes: list[_Box] = []
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        _require(8 <= length <= len(data) - position)
        boxes.append((kind, data[position + 8 : position + length]))
        position += length
    return boxes


def _find_track(movie: list[_Box], track_id: int) -> list[_Box]:
    """Return the boxes of the track of this number; two of them are one too many."""
    tracks = [_list_boxes(content) for kind, content in movie if kind == b"trak"]
    found: list[list[_Box]] = []
    for track in tracks:
        header = _only(track, b"tkhd")
        if struct.unpack_from(">I", header, 20 if header[0] else 12)[0] == track_id:
            found.append(track)
    _require(len(found) == 1)
    return found[0]


def _only(boxes: list[_Box], kind: bytes) -> memoryview:
    found = [content for one, content in boxes if one == kind]
    _require(len(found) == 1)
    return found[0]


def _read_clock(header: memoryview) -> int:
    """Return the ticks a second of ``mvhd`` or ``mdhd``."""
    ticks_per_sec = int(struct.unpack_from(">I", header, 20 if header[0] else 12)[0])
    _require(ticks_per_sec > 0)
    return ticks_per_sec


def _read_count(table: memoryview) -> int:
    return int(struct.unpack_from(">I", table, 4)[0])


def _read_numbers(table: memoryview, dtype: str, offset: int, count: int) -> Indices:
    return np.frombuffer(table, dtype=dtype, count=count, offset=offset).astype(np.int64)


def _read_sizes(table: memoryview) -> Indices:
    same, count = struct.unpack_from(">II", table, 4)
    _require(same == 0 and count > 0)
    return _read_numbers(table, ">u4", 12, count)


def _read_runs(table: memoryview, total: int) -> Indices:
    """Return a number for each sample, of a table of runs of equal ones."""
    numbers = _read_numbers(table, ">u4", 8, 2 * _read_count(table))
    counts = numbers[::2]
    _require(int(counts.sum()) == total)
    if len(counts) == 1:
        return np.full(total, numbers[1])
    return np.repeat(numbers[1::2], counts)


def _require(is_sure: bool) -> None:
    if not is_sure:
        raise _UnsureError
