"""What is known of a video once it is open, and the arithmetic from wanted times to frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class VideoInfo:
    """An open video.

    Attributes:
        duration_sec: from the first frame's presentation to the end of the last one's.
        num_frames: frames that are presented.
        fps: mean frames per second.
        width_px, height_px: as stored, before rotation.
        codec: the decoder's name.
    """

    duration_sec: float
    num_frames: int
    fps: float
    width_px: int
    height_px: int
    codec: str


ChooseTimes = "np.ndarray | Callable[[VideoInfo], np.ndarray]"
Transform = Callable[[Tensor], Tensor]


def resolve_times(choose_times, info: VideoInfo) -> np.ndarray:
    """Return the wanted times as float64, asking ``choose_times`` if it is a function."""
    times = choose_times(info) if callable(choose_times) else choose_times
    return np.asarray(times, dtype=np.float64)


def frames_at(presented_sec: np.ndarray, times_sec: np.ndarray, tick_sec: float) -> np.ndarray:
    """Return, for each time, the index of the frame that is shown then.

    Args:
        presented_sec: ``(F,)`` ascending presentation times from the first frame's, which is 0.
        times_sec: ``(...)`` wanted times.
        tick_sec: half of it is forgiven, so that a time computed in floating point meets its frame.
    Returns:
        ``(...)`` int64 in ``[0, F)``.
    """
    index = np.searchsorted(presented_sec, times_sec + 0.5 * tick_sec, side="right") - 1
    return np.clip(index, 0, len(presented_sec) - 1)
