"""Reads a folder of numbered images as the frames of a video, as some corpora come."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipbert_mmf.video.arrays import Indices, Times
from clipbert_mmf.video.endings import MEDIA_ENDINGS, ending_of, strip_ending
from clipbert_mmf.video.errors import DecodeError, EmptyMediaError

#: Frames per second of a folder of frames, where nothing says it.
DEFAULT_FRAMES_FPS = 25.0
#: Share of the numbers between the first and the last that may be missing.
_MAX_GAPS = 0.1
_NUMBER = re.compile(r"\d+$")
#: What stands before the number, beside the folder's own name.
_PREFIX = re.compile(r"(?:frames?|imgs?|images?|im|f)?[-_. ]?", re.IGNORECASE)


@dataclass(frozen=True)
class FrameFolder:
    """A folder of frames, in the order of their numbers.

    Attributes:
        path: the folder.
    """

    path: Path

    def list_frames(self) -> list[Path]:
        """Return the images in order.

        Raises:
            DecodeError: if the folder cannot be read.
            EmptyMediaError: if it holds no numbered image.
        """
        try:
            names = os.listdir(self.path)
        except OSError as error:
            raise DecodeError(f"the folder of frames cannot be read: {error}") from error
        numbers = {name: _read_number(name) for name in names if ending_of(name) in MEDIA_ENDINGS["image"]}
        ordered = sorted((number, name) for name, number in numbers.items() if number is not None)
        if not ordered:
            raise EmptyMediaError("the folder of frames holds no numbered image")
        return [self.path / name for _, name in ordered]


@dataclass(frozen=True)
class FrameTimes:
    """The times of frames at equal distance.

    Attributes:
        num_frames: number of frames.
        fps: frames per second.
    """

    num_frames: int
    fps: float

    @property
    def start_sec(self) -> float:
        """Start of the first frame."""
        return 0.0

    @property
    def duration_sec(self) -> float:
        """Length in seconds."""
        return self.num_frames / self.fps

    def frames_at(self, times_sec: Times) -> Indices:
        """Return the index of the frame shown at each time: int64 of the same shape, in ``[0, num_frames)``."""
        shown = (times_sec * self.fps + 1e-6).astype(np.int64)
        return np.minimum(np.maximum(shown, 0), self.num_frames - 1)


def choose_frame_folders(images: Mapping[str, Sequence[str]], videos: Iterable[str]) -> list[str]:
    """Return the folders whose images are the frames of a video: numbered one after the other.

    Args:
        images: folder -> its images; folders that hold videos are left out.
        videos: all videos of the store: a folder of their thumbnails is none of frames.
    """
    chosen = [folder for folder, names in images.items() if _is_numbered(folder, names)]
    if not chosen:
        return []
    stems = {strip_ending(name[name.rfind("/") + 1 :]) for name in videos}
    return [
        folder
        for folder in chosen
        if 2 * sum(strip_ending(name[name.rfind("/") + 1 :]) in stems for name in images[folder])
        < len(images[folder])
    ]


def is_frame_folder(folder: Path) -> bool:
    """Return whether a folder holds numbered images and no video."""
    names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    endings = {name: ending_of(name) for name in names}
    if any(ending in MEDIA_ENDINGS["video"] for ending in endings.values()):
        return False
    images = [name for name, ending in endings.items() if ending in MEDIA_ENDINGS["image"]]
    return len(images) > 1 and _is_numbered(folder.name, images)


def _read_number(name: str) -> int | None:
    found = _NUMBER.search(strip_ending(name))
    return int(found.group()) if found else None


def _is_numbered(folder: str, names: Sequence[str]) -> bool:
    own = folder[folder.rfind("/") + 1 :]
    numbers: list[int] = []
    for name in names:
        stem = strip_ending(name[name.rfind("/") + 1 :])
        found = _NUMBER.search(stem)
        if not found:
            return False
        prefix = stem[: found.start()]
        if not (_PREFIX.fullmatch(prefix) or prefix.rstrip("-_. ") == own):
            return False
        numbers.append(int(found.group()))
    steps = np.diff(np.sort(np.array(numbers)))
    if not (steps > 0).all():
        return False
    # Every n-th frame may have been kept.
    step = int(steps.min())
    return (max(numbers) - min(numbers)) / step + 1 <= (1 + _MAX_GAPS) * len(numbers) + 1
