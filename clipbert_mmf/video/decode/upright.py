"""Turns decoded pictures the way the file says they are to be shown."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

Turn = Callable[[np.ndarray], np.ndarray]


def read_turn(frame: Any) -> tuple[bool, bool, bool]:
    """Return (transpose, mirror left-right, mirror top-bottom) that make a frame upright.

    Phones write a display matrix beside the pictures. It maps a decoded point (x, y) to (a x + c y, b x + d y); for
    quarter turns and mirrors one of the pairs (a, d), (b, c) is zero. Other angles go to the nearest of these.

    Args:
        frame: an ``av.VideoFrame``.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def turn_upright(picture: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    """Apply what ``read_turn`` returned to an ``(H, W, 3)`` array."""
    transpose, left_right, top_bottom = turn
    if transpose:
        picture = picture.transpose(1, 0, 2)
    if left_right:
        picture = picture[:, ::-1]
    if top_bottom:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
