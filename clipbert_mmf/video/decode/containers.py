"""Tells from a container's own sizes whether a file was cut short.

FFmpeg reads a half-downloaded file without complaint and shows what is there; a sampler would then spread its clips
over the wrong duration. Runs before any backend opens the file.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

#: A box or chunk that a live recorder left open: its size says "to the end of the file".
_OPEN_ENDED = -1


def find_truncation(stream: BinaryIO) -> str:
    """Return how the file contradicts its own sizes, or ``""`` if it does not or the container has none.

    Args:
        stream: seekable, at any position; MP4/MOV, AVI, Matroska/WebM and GIF are checked.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "" if _gif_ends(stream, size) else "the GIF has no end mark"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        end = 8 + int.from_bytes(head[4:8], "little")
    elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
        end = _end_of_boxes(stream, size)
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        end = _end_of_segment(stream)
    else:
        return ""
    # RIFF pads to even sizes, and some writers count that byte although they did not write it.
    return f"the file has {size} bytes, its headers say at least {end}" if end > size + 1 else ""


def find_truncation_in(source: bytes | str | os.PathLike) -> str:
    """The same for bytes or a path."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return find_truncation(io.BytesIO(source))
    with open(source, "rb") as stream:
        return find_truncation(stream)


def _gif_ends(stream: BinaryIO, size: int) -> bool:
    stream.seek(max(0, size - 1024))
    # Some writers add bytes after the trailer 0x3B; a cut file ends in the middle of its picture data.
    return stream.read().rstrip(b"\x00\r\n").endswith(b"\x3b")


def _end_of_boxes(stream: BinaryIO, size: int) -> int:
    position = 0
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            return _OPEN_ENDED
        if length < 8:
            # Padding or foreign bytes after the last box.
            return _OPEN_ENDED
        position += length
    return position


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
