"""Turns decoded pictures as the file says they are to be shown."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's own annotations leave the arguments of some methods open.

from __future__ import annotations

import io
import math
import struct
from typing import Any, cast

import av
import numpy as np
from PIL import Image

from clipbert_mmf.video.arrays import Picture

#: EXIF's orientation -> (transpose, mirror left-right, mirror top-bottom).
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
_ORIENTATION_TAG = 0x0112
#: Codecs whose packets are image files, which may tell their orientation themselves.
_IMAGE_CODECS = ("mjpeg", "png", "apng")


def read_exif_turn(packet: bytes, codec: str) -> tuple[bool, bool, bool] | None:
    """Return the turn that a picture of Motion-JPEG or the like tells in its EXIF; None where it tells none.

    Args:
        packet: the first packet.
        codec: FFmpeg's name.
    """
    if codec not in _IMAGE_CODECS:
        return None
    try:
        with Image.open(io.BytesIO(packet)) as image:
            return _TURNS.get(int(image.getexif().get(_ORIENTATION_TAG, 0)))
    except Exception:  # damaged pictures and tags make Pillow raise anything
        return None


def read_turn(frame: av.VideoFrame, told: tuple[bool, bool, bool] | None = None) -> tuple[bool, bool, bool]:
    """Return (transpose, mirror left-right, mirror top-bottom) that make a frame upright.

    Phones write a display matrix beside the pictures. It maps a decoded point (x, y) to (a x + c y, b x + d
    y); for quarter turns and mirrors one of the pairs (a, d), (b, c) is zero. Other angles go to the nearest
    of these.

    Args:
        frame: the first of a video; its frames are turned alike.
        told: the turn that the encoded picture tells, for where no matrix is to be found.
    """
    try:
        # PyAV finds side data by the name of its kind; its annotations know only numbers.
        matrix: Any = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    except ValueError:
        # A kind that PyAV does not know (spatial video, EXIF) hides the others. The angle is still told.
        if told is not None:
            return told
        angle = -math.radians(frame.rotation)
        a, b = math.cos(angle), math.sin(angle)
        c, d = -b, a
    else:
        if matrix is None:
            return told or (False, False, False)  # older FFmpeg reads no EXIF
        a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def turn_upright(picture: Picture, turn: tuple[bool, bool, bool]) -> Picture:
    """Return an ``(H, W, 3)`` picture turned as ``read_turn`` says."""
    transpose, left_right, top_bottom = turn
    if transpose:
        picture = picture.transpose(1, 0, 2)
    if left_right:
        picture = picture[:, ::-1]
    if top_bottom:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
