"""Holds frames that are decoded already, where a caller has them in place of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from clipbert_mmf.video.arrays import Indices, Times
from clipbert_mmf.video.sampling import FALLBACK_FPS


@dataclass(frozen=True)
class DecodedVideo:
    """Frames that are decoded already.

    Attributes:
        frames: ``(frames, H, W, 3)`` uint8 RGB; one picture ``(H, W, 3)`` and tensors are taken too.
        fps: frames per second.

    Raises:
        ValueError: for another shape or dtype, no frame, or a rate that is not above 0.
    """

    frames: np.ndarray[Any, Any]
    fps: float = FALLBACK_FPS

    def __post_init__(self) -> None:
        frames = self.frames.numpy() if isinstance(self.frames, Tensor) else np.asarray(self.frames)
        if frames.ndim == 3:
            frames = frames[None]
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
            raise ValueError(
                f"an array of shape {frames.shape}, {frames.dtype}; expected (frames, height, width, 3) or "
                f"(height, "
                f"width, 3), uint8 RGB"
            )
        if not self.fps > 0:
            raise ValueError(f"fps is {self.fps}; expected a number above 0")
        object.__setattr__(self, "frames", frames)

    @property
    def duration_sec(self) -> float:
        """Length in seconds."""
        return len(self.frames) / self.fps

    @property
    def start_sec(self) -> float:
        """Start of the first frame."""
        return 0.0

    def frames_at(self, times_sec: Times) -> Indices:
        """Return the index of the frame shown at each time: int64 of the same shape, in ``[0, frames)``."""
        shown = (times_sec * self.fps + 1e-6).astype(np.int64)
        return np.minimum(np.maximum(shown, 0), len(self.frames) - 1)
