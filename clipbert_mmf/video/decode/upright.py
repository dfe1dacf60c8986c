"""Turns decoded pictures as the file says they are to be shown."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's own annotations leave the arguments of some methods open.

from __future__ import annotations

import math
import struct
from typing import Any, cast

import av
import numpy as np

from clipbert_mmf.video.arrays import Picture


def read_turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return (transpose, mirror left-right, mirror top-bottom) that make a frame upright.

    Phones write a display matrix beside the pictures. It maps a decoded point (x, y) to (a x + c y, b x + d
    y); for quarter turns and mirrors one of the pairs (a, d), (b, c) is zero. Other angles go to the nearest
    of these.

    Args:
        frame: the first of a video; its frames are turned alike.
    """
    try:
        # PyAV finds side data by the name of its kind; its annotations know only numbers.
        matrix: Any = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    except ValueError:
        # A kind that PyAV does not know (spatial video, EXIF) hides the others. The angle is still told.
        angle = -math.radians(frame.rotation)
        a, b = math.cos(angle), math.sin(angle)
        c, d = -b, a
    else:
        if matrix is None:
            return False, False, False
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
