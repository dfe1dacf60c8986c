"""Reads frames with decord, where it is installed and agrees with the timeline.

decord counts frames by its own index. It is asked only where that index tells the same times as the packets do;
everything else goes to the next backend.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Iterator

import numpy as np

from clipbert_mmf.video.decode.timeline import Timeline
from clipbert_mmf.video.errors import DecodeError


class CannotServe(Exception):
    """This backend is absent, or cannot be trusted with this file; another one should be tried."""


def read_with_decord(
    source: bytes | Path, timeline: Timeline, wanted: np.ndarray, num_threads: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode frames.

    Args:
        timeline: of this file, from its packets.
        wanted: sorted, distinct frame indices.
    Yields:
        frame index and ``(H, W, 3)`` uint8 RGB.
    Raises:
        CannotServe: before the first frame, when decord is absent or sees other frames than the timeline.
        DecodeError: when decoding breaks.
    """
    try:
        import decord
    except (ImportError, OSError) as error:
        raise CannotServe(f"decord is not installed: {error}") from error
    target = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else str(source)
    try:
        reader = decord.VideoReader(target, num_threads=num_threads)
        times = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    except Exception as error:  # decord raises its own base class, RuntimeError and IndexError alike
        raise CannotServe(f"decord cannot open it: {error}") from error
    if len(times) != timeline.num_frames or np.abs(times - timeline.times_sec).max() > 1e-3:
        raise CannotServe("decord sees other frames or times than the packets tell")
    try:
        pictures = reader.get_batch(list(wanted)).asnumpy()
    except Exception as error:
        raise DecodeError(f"decord: {error}") from error
    yield from zip((int(index) for index in wanted), pictures)
