"""Finds files that were cut short, by the sizes that their containers state.

FFmpeg reads a half-downloaded file without complaint and shows what is there; a sampler would then spread its
clips over the wrong duration. Runs before any backend opens the file.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from clipbert_mmf.video.sources import open_source

#: A box or chunk that a live recorder left open: its size says "to the end of the file".
_OPEN_ENDED = -1

#: Boxes that an MP4 has at its top.
_BOXES = frozenset(
    b"ftyp moov mdat wide free skip styp moof mfra sidx ssix prft emsg meta uuid udta pdin pnot PICT junk".split()
)


def find_truncation(stream: BinaryIO) -> str:
    """Describe how the file contradicts its own sizes; empty if it does not or the container has none.

    Args:
        stream: the file, seekable, at any position; MP4/MOV, AVI, Matroska/WebM and GIF are checked.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "" if _gif_ends(stream, size) else "the GIF ends inside a picture"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        end = _end_of_riffs(stream, size)
    elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
        end = _end_of_boxes(stream, size)
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        end = _end_of_segment(stream)
    else:
        return ""
    # RIFF pads to even sizes, and some writers count that byte although they did not write it.
    return f"the file has {size} bytes, its headers say at least {end}" if end > size + 1 else ""


def find_truncation_in(source: bytes | str | os.PathLike[str]) -> str:
    """Do the same for bytes or a path."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return find_truncation(io.BytesIO(source))
    with open_source(source) as stream:
        return find_truncation(stream)


def _gif_ends(stream: BinaryIO, size: int) -> bool:
    stream.seek(max(0, size - 64))
    if stream.read().rstrip(b"\x00\r\n").endswith(b"\x3b"):
        return True
    # No end mark: some writers forget it, or add bytes after it. A cut file ends inside a block.
    stream.seek(0)
    return _walk_gif(stream.read())


def _walk_gif(data: bytes) -> bool:
    """Return whether the blocks of a GIF end where one of them ends."""
    position = 13 + _color_table_bytes(data[10:11])
    while position < len(data):
        kind = data[position]
        if kind == 0x2C:
            position += 10 + _color_table_bytes(data[position + 9 : position + 10]) + 1
        elif kind == 0x21:
            position += 2
        else:
            # The end mark, or bytes that are none of a GIF's: what came before is whole.
            return True
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
    return position == len(data)


def _color_table_bytes(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _end_of_boxes(stream: BinaryIO, size: int) -> int:
    """End of an MP4's last box; bytes behind it that are none (a camera's, a tag, padding) do not count."""
    position = 0
    seen: set[bytes] = set()
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or kind not in _BOXES:
            # Open to the end, or foreign bytes.
            return _OPEN_ENDED
        is_whole = {b"moov", b"mdat"} <= seen and b"moof" not in seen
        if position + length > size and is_whole and kind not in (b"moov", b"mdat", b"moof"):
            # All pictures lie before it.
            return _OPEN_ENDED
        seen.add(kind)
        position += length
    return position


def _end_of_riffs(stream: BinaryIO, size: int) -> int:
    """End of an AVI's last chunk; where its index is there, the sum that its head states does not count."""
    position, end, has_index = 0, 0, False
    while position + 12 <= size:
        stream.seek(position)
        head = stream.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or not length:
            break
        chunk = position + 12
        while chunk + 12 <= min(size, position + 8 + length):
            stream.seek(chunk)
            kind, chunk_length = stream.read(4), int.from_bytes(stream.read(4), "little")
            if not chunk_length and kind == b"LIST":
                return _OPEN_ENDED
            # Chunks begin at even places.
            chunk += 8 + chunk_length + chunk_length % 2
            end = max(end, chunk - chunk_length % 2)
            has_index = has_index or kind == b"idx1"
        if not has_index:
            end = max(end, position + 8 + length)
        position += 8 + length + length % 2
    return end


def _end_of_segment(stream: BinaryIO) -> int:
    """End of a Matroska file's Segment: the EBML header, then one element that holds everything."""
    stream.seek(4)
    header = _read_vint(stream)
    if header == _OPEN_ENDED:
        return _OPEN_ENDED
    stream.seek(header, os.SEEK_CUR)
    if stream.read(4) != b"\x18\x53\x80\x67":
        return _OPEN_ENDED
    length = _read_vint(stream)
    return _OPEN_ENDED if length == _OPEN_ENDED else stream.tell() + length


def _read_vint(stream: BinaryIO) -> int:
    first = stream.read(1)
    if not first or first[0] == 0:
        return _OPEN_ENDED
    width = 9 - first[0].bit_length()
    rest = stream.read(width - 1)
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + rest, "big")
    return _OPEN_ENDED if value == (1 << (7 * width)) - 1 else value
