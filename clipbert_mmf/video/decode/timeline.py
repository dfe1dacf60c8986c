"""Holds when each frame of a video is on screen, and finds the one at a given time.

One rule for every backend.

Seconds count as a player shows them: 0 is where the file starts, which its sound may do before its pictures.
The frame at time t is the last one whose presentation time is at most t; before the first it is the first,
after the last it is the last. Containers round presentation times to their clock (Matroska to 1 ms), so a
time up to half a tick before a frame, and never more than 1 ms, already shows that frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from clipbert_mmf.video.arrays import Indices, Times

#: Largest tolerance: in AVI and GIF a tick is as long as a frame and nothing was rounded.
_MAX_TOLERANCE_SEC = 1e-3


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video that are known before any frame is decoded.

    Attributes:
        duration_sec: end of the last frame, counted from the start of the file.
        fps: frames per second on average.
        num_frames: frames that are shown.
        width: pixels of the stored picture, before any rotation.
        height: pixels of the stored picture, before any rotation.
        codec: FFmpeg's name of the codec.
        container: FFmpeg's name of the container.
        start_sec: start of the first frame, counted from the start of the file.
    """

    duration_sec: float
    fps: float
    num_frames: int
    width: int
    height: int
    codec: str = ""
    container: str = ""
    start_sec: float = 0.0


@dataclass(frozen=True)
class Timeline:
    """Presentation times of all frames of a video.

    Attributes:
        ticks: (num_frames,) int64, strictly increasing.
        tick_sec: length of a tick.
        last_ticks: ticks for which the last frame is shown.
        origin: tick at which the file starts, at most that of the first frame.
    """

    ticks: Indices
    tick_sec: Fraction
    last_ticks: int
    origin: int

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return len(self.ticks)

    @property
    def start_sec(self) -> float:
        """From the file's start to the first frame's."""
        return float((int(self.ticks[0]) - self.origin) * self.tick_sec)

    @property
    def duration_sec(self) -> float:
        """From the file's start to the last frame's end."""
        return float((int(self.ticks[-1]) - self.origin + self.last_ticks) * self.tick_sec)

    @property
    def times_sec(self) -> Times:
        """``(num_frames,)`` float64: presentation times, counted from the file's start."""
        return np.asarray((self.ticks - self.origin) * float(self.tick_sec), dtype=np.float64)

    def frames_at(self, times_sec: Times) -> Indices:
        """Return the index of the frame shown at each time.

        Args:
            times_sec: any shape, seconds from the start of the file.

        Returns:
            int64 of the same shape, in ``[0, num_frames)``.
        """
        tolerance_sec = min(float(self.tick_sec) / 2, _MAX_TOLERANCE_SEC)
        # 1e-9: an exact half tick must not depend on how the caller's seconds were rounded.
        next_frame = np.searchsorted(
            self.times_sec, np.asarray(times_sec) + tolerance_sec + 1e-9, side="right"
        )
        return np.minimum(np.maximum(next_frame - 1, 0), self.num_frames - 1)


def make_timeline(
    pts: Indices, tick_sec: Fraction, last_ticks: int | None, file_start_sec: float | None = None
) -> Timeline:
    """Build a timeline from distinct presentation times in any order.

    Args:
        pts: ``(num_frames,)`` ticks, at least one.
        tick_sec: length of a tick.
        last_ticks: ticks for which the frame shown last stays, or None where the file does not say: then as
            long as the typical frame.
        file_start_sec: time of the file's start on the clock of ``pts``; None for that of the first frame.
    """
    ticks = np.sort(np.asarray(pts, dtype=np.int64))
    if not last_ticks or last_ticks < 0:
        last_ticks = (
            int(np.median(np.diff(ticks))) if len(ticks) > 1 else max(1, round(Fraction(1, 25) / tick_sec))
        )
    first = int(ticks[0])
    origin = first if file_start_sec is None else min(first, round(file_start_sec / Fraction(tick_sec)))
    if (first - origin) * tick_sec <= _MAX_TOLERANCE_SEC:
        # FFmpeg tells the start in whole microseconds.
        origin = first
    return Timeline(ticks, Fraction(tick_sec), int(last_ticks), origin)
