"""Which moments of a video become frames: pure time arithmetic, apart from decoding (paper section 3.1).

Comes before ``decode``, which shows the frame on screen at each of these times. Randomness arrives as a generator.
"""

from __future__ import annotations

from typing import Callable

import numpy as np

#: Frame rate assumed where the caller does not know it: only decides how far before a clip's end its last frame lies.
FALLBACK_FPS = 30.0


def choose_clip_length(num_frames: int, fps: float | None = None, clip_len_sec: float | None = None) -> float:
    """Return a clip's length in seconds: as given, or T frames at a rate, or the paper's one second."""
    if clip_len_sec:
        return float(clip_len_sec)
    return num_frames / float(fps) if fps else 1.0


def _start_random(room: float, num_clips: int, rng: np.random.Generator | None) -> np.ndarray:
    """Independent, uniform in ``[0, room]``: the paper's sparse random sampling."""
    if rng is None:
        raise ValueError("sampling 'random' needs a generator: pass rng=np.random.default_rng(...)")
    return rng.uniform(0.0, 1.0, num_clips) * room


def _start_uniform(room: float, num_clips: int, rng: np.random.Generator | None) -> np.ndarray:
    """Equal distance, the first clip at the start and the last at the end; a single clip in the middle."""
    if num_clips == 1:
        return np.array([room / 2])
    return np.arange(num_clips) / (num_clips - 1) * room


def _start_dense(room: float, num_clips: int, rng: np.random.Generator | None) -> np.ndarray:
    """Equal distance, half a step from both ends: clip i in the middle of the i-th of N equal parts."""
    return (np.arange(num_clips) + 0.5) / num_clips * room


def _start_released(room: float, num_clips: int, rng: np.random.Generator | None) -> np.ndarray:
    """The released code's rule ``i / N * room``: never reaches the end."""
    return np.arange(num_clips) / num_clips * room


def _start_middle(room: float, num_clips: int, rng: np.random.Generator | None) -> np.ndarray:
    """Every clip in the middle; the paper's ablations use one."""
    return np.full(num_clips, room / 2)


#: How clip starts are chosen: ``start(room, K, rng) -> (K,)`` in ``[0, room]``, with room = span minus clip length.
SAMPLERS: dict[str, Callable[[float, int, np.random.Generator | None], np.ndarray]] = {
    "random": _start_random,
    "dense": _start_dense,
    "uniform": _start_uniform,
    "released": _start_released,
    "middle": _start_middle,
}


def sample_clips(
    how: str,
    duration_sec: float,
    num_clips: int,
    num_frames: int,
    clip_len_sec: float,
    rng: np.random.Generator | None = None,
    window_sec: tuple[float, float] | None = None,
    fps: float | None = None,
) -> np.ndarray:
    """Choose the times of T frames in each of K clips.

    A clip covers ``[start, start + clip_len)``. Its frames are shown from ``start`` to one frame before its end, so
    the T times lie at equal distance from ``start`` to ``start + clip_len - 1/fps``, both included: T = 2 gives the
    first and the last frame of the clip. T = 1 gives the first frame; with ``middle`` the frame in the middle. Where
    the video (or the window) is shorter than the clip, the clip is all of it and frames repeat.

    Args:
        how: a key of ``SAMPLERS``.
        duration_sec: length of the video, at least 0.
        num_clips: K.
        num_frames: T.
        clip_len_sec: length of a clip, more than 0.
        rng: draws the starts; only ``random`` needs it.
        window_sec: the part of the video that counts, cut to the video, or None for all of it.
        fps: frame rate of the video; ``FALLBACK_FPS`` where None.
    Returns:
        ``(K, T)`` float64, seconds from the first frame, in ``[0, duration_sec]``.
    Raises:
        ValueError: for an unknown sampler, sizes below 1, or a length that is not positive.
    """
    if how not in SAMPLERS:
        raise ValueError(f"sampling is '{how}'; allowed are {sorted(SAMPLERS)}")
    if num_clips < 1 or num_frames < 1:
        raise ValueError(f"num_clips={num_clips}, num_frames={num_frames}; expected at least 1 of each")
    if not (clip_len_sec > 0 and np.isfinite(clip_len_sec)):
        raise ValueError(f"clip_len_sec is {clip_len_sec}; expected a number of seconds above 0")
    low, high = _cut_window(duration_sec, window_sec)
    length = min(clip_len_sec, high - low)
    starts = low + SAMPLERS[how](high - low - length, num_clips, rng)
    if num_frames == 1:
        offsets = np.array([length / 2 if how == "middle" else 0.0])
    else:
        frame_sec = 1.0 / (fps if fps else FALLBACK_FPS)
        offsets = np.linspace(0.0, max(length - frame_sec, 0.0), num_frames)
    return starts[:, None] + offsets[None, :]


def _cut_window(duration_sec: float, window_sec: tuple[float, float] | None) -> tuple[float, float]:
    if not (duration_sec >= 0 and np.isfinite(duration_sec)):
        raise ValueError(f"duration_sec is {duration_sec}; expected a number of seconds, at least 0")
    if window_sec is None:
        return 0.0, float(duration_sec)
    start, end = (float(value) for value in window_sec)
    if not start <= end:
        raise ValueError(f"window_sec is ({start}, {end}); expected its start before its end")
    low = min(max(start, 0.0), float(duration_sec))
    return low, min(max(end, low), float(duration_sec))
