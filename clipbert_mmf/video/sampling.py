"""Chooses which moments of a video become frames.

Pure time arithmetic, apart from decoding (paper section 3.1).

``decode`` then shows the frame on screen at each of these times. Randomness arrives as a generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from clipbert_mmf.video.arrays import Times
from clipbert_mmf.video.errors import OutsideVideoError

#: Frame rate assumed where the caller does not know it: only decides how far before a clip's end its last
#: frame lies.
FALLBACK_FPS = 30.0


def describe_span(start_sec: float, end_sec: float) -> str:
    """Return a part of a video in words; its end may be infinite."""
    return f"from {start_sec:g} to {end_sec:g} s" if np.isfinite(end_sec) else f"from {start_sec:g} s on"


def choose_clip_length(num_frames: int, fps: float | None = None, clip_len_sec: float | None = None) -> float:
    """Return a clip's length in seconds: as given, or T frames at a rate, or the paper's one second."""
    if clip_len_sec:
        return float(clip_len_sec)
    return num_frames / float(fps) if fps else 1.0


def _start_random(room: float, num_clips: int, rng: np.random.Generator | None) -> Times:
    """Draw starts independently, uniform in ``[0, room]``: the paper's sparse random sampling."""
    if rng is None:
        raise ValueError("sampling 'random' needs a generator: pass rng=np.random.default_rng(...)")
    return rng.uniform(0.0, 1.0, num_clips) * room


def _start_uniform(room: float, num_clips: int, rng: np.random.Generator | None) -> Times:
    """Place clips at equal distance, the first at the start and the last at the end.

    A single clip in the middle.
    """
    if num_clips == 1:
        return np.array([room / 2])
    return np.arange(num_clips) / (num_clips - 1) * room


def _start_dense(room: float, num_clips: int, rng: np.random.Generator | None) -> Times:
    """Place clips at equal distance, half a step from both ends.

    Clip i in the middle of the i-th of N equal parts.
    """
    return (np.arange(num_clips) + 0.5) / num_clips * room


def _start_released(room: float, num_clips: int, rng: np.random.Generator | None) -> Times:
    """Place clips by the released code's rule ``i / N * room``, which never reaches the end."""
    return np.arange(num_clips) / num_clips * room


def _start_middle(room: float, num_clips: int, rng: np.random.Generator | None) -> Times:
    """Place every clip in the middle; the paper's ablations use one."""
    return np.full(num_clips, room / 2)


#: Sampler -> ``start(room, K, rng) -> (K,)`` clip starts in ``[0, room]``, with room = span minus clip
#: length.
SAMPLERS: dict[str, Callable[[float, int, np.random.Generator | None], Times]] = {
    "random": _start_random,
    "dense": _start_dense,
    "uniform": _start_uniform,
    "released": _start_released,
    "middle": _start_middle,
}


def sample_spans(
    how: str,
    duration_sec: float,
    num_clips: int,
    clip_len_sec: float,
    rng: np.random.Generator | None = None,
    window_sec: tuple[float, float] | None = None,
    start_sec: float = 0.0,
) -> Times:
    """Choose where K clips lie.

    Args:
        how: a key of ``SAMPLERS``.
        duration_sec: end of the video, at least 0.
        num_clips: K.
        clip_len_sec: length of a clip, more than 0; a video or a window that is shorter is one clip.
        rng: draws the starts; only ``random`` needs it.
        window_sec: the part of the video that counts, cut to the video, or None for all of it.
        start_sec: start of its first frame.

    Returns:
        ``(K, 2)`` float64, start and end in seconds as a player shows them, in ``[start_sec, duration_sec]``.

    Raises:
        ValueError: for an unknown sampler, sizes below 1, or a length that is not positive.
    """
    if how not in SAMPLERS:
        raise ValueError(f"sampling is '{how}'; allowed are {sorted(SAMPLERS)}")
    if num_clips < 1:
        raise ValueError(f"num_clips={num_clips}; expected at least 1")
    if not (clip_len_sec > 0 and np.isfinite(clip_len_sec)):
        raise ValueError(f"clip_len_sec is {clip_len_sec}; expected a number of seconds above 0")
    low, high = _cut_window(start_sec, duration_sec, window_sec)
    length = min(clip_len_sec, high - low)
    starts = low + SAMPLERS[how](high - low - length, num_clips, rng)
    return np.stack([starts, starts + length], 1)


def place_frames(
    spans_sec: Times,
    how: str,
    num_frames: int,
    fps: float | None = None,
    clip_len_sec: float | None = None,
    window_sec: tuple[float, float] | None = None,
) -> Times:
    """Choose the times of T frames in each clip.

    The times lie at equal distance from the clip's start to one frame before its end, both included: T = 2
    gives the first and the last frame of the clip. T = 1 gives the first frame; with ``middle`` the frame in
    the middle. ``released`` counts whole frames as the released code does: the clip begins at the first frame
    that starts within it, distances are rounded down, and in a video that is shorter than the clip the rate
    stays and the last frame is repeated.

    Args:
        spans_sec: ``(K, 2)`` of ``sample_spans``.
        how: sampler that chose the spans.
        num_frames: T.
        fps: frame rate of the video; ``FALLBACK_FPS`` where None.
        clip_len_sec: length of a clip that nothing shortened, for ``released``; None for that of the spans.
        window_sec: start and end of what counts of the video, for ``released``; None for that of the spans.

    Returns:
        ``(K, T)`` float64, seconds as a player shows them.

    Raises:
        ValueError: for T below 1.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames={num_frames}; expected at least 1")
    if how == "released":
        low, high = window_sec or (float(spans_sec.min()), float(spans_sec.max()))
        length = clip_len_sec or float(np.diff(spans_sec).max())
        return _place_as_released(spans_sec[:, :1] - low, high - low, length, num_frames, fps) + low
    starts, lengths = spans_sec[:, :1], np.diff(spans_sec)
    if num_frames == 1:
        return starts + (lengths / 2 if how == "middle" else 0.0)
    frame_sec = 1.0 / (fps if fps else FALLBACK_FPS)
    return starts + np.maximum(lengths - frame_sec, 0.0) * np.linspace(0.0, 1.0, num_frames)


#: Share of a frame by which a clip may begin after it and still has it: the released code rounds down to ticks.
_TICK_SHARE = 1e-3


def _place_as_released(
    starts: Times, span_sec: float, clip_len_sec: float, num_frames: int, fps: float | None
) -> Times:
    """Return ``(K, T)`` times, each in the middle of a frame, for starts ``(K, 1)`` counted from the span's."""
    rate = fps or FALLBACK_FPS
    size, available = clip_len_sec * rate, max(round(span_sec * rate), 1)
    starts = starts * rate
    first = np.ceil(starts - _TICK_SHARE)
    # The released code decodes one frame beyond the clip's end.
    last = np.minimum(np.floor(starts + size - 1) + 1, available - 1)
    steps = np.floor(np.linspace(0.0, max(size - 1, 0.0), num_frames))
    times = (np.minimum(first + steps, np.maximum(last, 0)) + 0.5) / rate
    return np.minimum(times, span_sec)


def sample_clips(
    how: str,
    duration_sec: float,
    num_clips: int,
    num_frames: int,
    clip_len_sec: float,
    rng: np.random.Generator | None = None,
    window_sec: tuple[float, float] | None = None,
    fps: float | None = None,
    start_sec: float = 0.0,
) -> Times:
    """Return ``(K, T)`` times in seconds.

    ``place_frames`` in ``sample_spans``, which have the arguments and errors.
    """
    spans = sample_spans(how, duration_sec, num_clips, clip_len_sec, rng, window_sec, start_sec)
    window = _cut_window(start_sec, duration_sec, window_sec)
    return place_frames(spans, how, num_frames, fps, clip_len_sec, window)


class TimedVideo(Protocol):
    """A video as a sampler sees it."""

    @property
    def start_sec(self) -> float:
        """Start of the first frame, seconds as a player shows them."""
        ...

    @property
    def duration_sec(self) -> float:
        """End of the last frame."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second."""
        ...


@dataclass
class ClipChooser:
    """Chooses the times of one reading of one video, and remembers where its clips lie.

    Attributes:
        how: a key of ``SAMPLERS``.
        num_clips: K.
        num_frames: T.
        clip_len_sec: length of a clip.
        rng: draws the starts.
        window_sec: the part of the video that counts, or None.
        spans_sec: ``(K, 2)`` float64 after the call; no rows before.
        duration_sec: length of the video after the call; 0 before.
        info: the video after the call; None before.
    """

    how: str
    num_clips: int
    num_frames: int
    clip_len_sec: float
    rng: np.random.Generator | None = None
    window_sec: tuple[float, float] | None = None
    spans_sec: Times = field(default_factory=lambda: np.zeros((0, 2)), init=False)
    duration_sec: float = field(default=0.0, init=False)
    info: TimedVideo | None = field(default=None, init=False)

    def __call__(self, info: TimedVideo) -> Times:
        """Return ``(K, T)`` seconds for a video of ``info.duration_sec`` and ``info.fps``.

        Raises:
            OutsideVideoError: if nothing of the window lies in the video.
        """
        self.duration_sec, self.info = info.duration_sec, info
        if self.window_sec is not None and _is_outside(*self.window_sec, info):
            raise OutsideVideoError(
                f"the part {describe_span(*self.window_sec)} lies outside the video, which is "
                f"{info.duration_sec:g} s long"
            )
        self.spans_sec = sample_spans(
            self.how,
            info.duration_sec,
            self.num_clips,
            self.clip_len_sec,
            self.rng,
            self.window_sec,
            info.start_sec,
        )
        window = _cut_window(info.start_sec, info.duration_sec, self.window_sec)
        return place_frames(self.spans_sec, self.how, self.num_frames, info.fps, self.clip_len_sec, window)


def split_windows(start_sec: float, duration_sec: float, length_sec: float) -> list[tuple[float, float]]:
    """Cut a video into windows, one after the other.

    Args:
        start_sec: start of its first frame.
        duration_sec: its end.
        length_sec: length of a window, above 0. What is left at the end is a window of its own, or part of the last
            one where it is shorter than a tenth of a window.

    Returns:
        Start and end of each window, at least one.
    """
    count = max(1, int(np.ceil((duration_sec - start_sec) / length_sec - _LEAST_WINDOW)))
    starts = [start_sec + number * length_sec for number in range(count)]
    return list(zip(starts, [*starts[1:], max(duration_sec, start_sec)], strict=True))


#: Share of a window below which the end of a video belongs to the window before it.
_LEAST_WINDOW = 0.1


@dataclass
class WindowChooser:
    """Chooses the times of some of the windows of a video: K clips in each, as ``ClipChooser`` would alone.

    Attributes:
        make_chooser: returns the chooser of a window.
        length_sec: length of a window.
        first: number of the first window that is read.
        count: number of windows that are read.
        windows_sec: start and end of each window that was chosen, after the call.
        spans_sec: ``(windows * K, 2)`` float64, the clips, after the call.
        num_windows: number of windows of the whole video, after the call.
        duration_sec: length of the video after the call.
        info: the video after the call.
    """

    make_chooser: Callable[[tuple[float, float]], ClipChooser]
    length_sec: float
    first: int
    count: int
    windows_sec: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]], init=False)
    spans_sec: Times = field(default_factory=lambda: np.zeros((0, 2)), init=False)
    num_windows: int = field(default=0, init=False)
    duration_sec: float = field(default=0.0, init=False)
    info: TimedVideo | None = field(default=None, init=False)

    def __call__(self, info: TimedVideo) -> Times:
        """Return ``(windows * K, T)`` seconds."""
        self.duration_sec, self.info = info.duration_sec, info
        windows = split_windows(info.start_sec, info.duration_sec, self.length_sec)
        self.num_windows = len(windows)
        self.windows_sec = windows[self.first : self.first + self.count]
        choosers = [self.make_chooser(window) for window in self.windows_sec]
        times = [chooser(info) for chooser in choosers]
        self.spans_sec = np.concatenate([chooser.spans_sec for chooser in choosers])
        return np.concatenate(times)


def _is_outside(start_sec: float, end_sec: float, info: TimedVideo) -> bool:
    # A still picture may last for no time at all: a part that begins at 0 shows it.
    return 0 < start_sec >= info.duration_sec or end_sec <= 0 or end_sec < info.start_sec


def _cut_window(
    start_sec: float, duration_sec: float, window_sec: tuple[float, float] | None
) -> tuple[float, float]:
    if not (duration_sec >= 0 and np.isfinite(duration_sec)):
        raise ValueError(f"duration_sec is {duration_sec}; expected a number of seconds, at least 0")
    if window_sec is None:
        return start_sec, float(duration_sec)
    start, end = (float(value) for value in window_sec)
    if not start <= end:
        raise ValueError(f"window_sec is ({start}, {end}); expected its start before its end")
    low = min(max(start, start_sec), float(duration_sec))
    return low, min(max(end, low), float(duration_sec))
