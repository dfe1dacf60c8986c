"""Reads frames with decord, where it is installed and agrees with the timeline.

decord counts frames by its own index, and seeks wrongly where frames are shown before the key frame they
follow. It is asked only where its index tells the same times as the packets do, and only for pictures that it
converts to RGB exactly as PyAV does (8 bit 4:2:0, even sizes) and that are not mirrored, which it would not
undo; PyAV takes everything else.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipbert_mmf.video.arrays import Indices, Picture, Times
from clipbert_mmf.video.decode.backend import CannotServeError
from clipbert_mmf.video.decode.pyav_backend import PyavReader
from clipbert_mmf.video.errors import MediaError

#: Times of decord are float32; a frame is never this short.
_MAX_TIME_ERROR_SEC = 2e-3


def read_with_decord(
    source: bytes | Path, facts: PyavReader, wanted: Indices, num_threads: int = 1
) -> Iterator[tuple[int, Picture]]:
    """Decode frames.

    Args:
        source: the encoded bytes, or a file.
        facts: the same file, opened by PyAV: its timeline, packets and picture format.
        wanted: sorted, distinct frame indices.
        num_threads: threads of the decoder.

    Yields:
        Frame index and ``(H, W, 3)`` uint8 RGB.

    Raises:
        CannotServeError: before the first frame, when decord is absent, breaks, or is not to be trusted with
            this file.
    """
    _refuse_by_facts(facts)
    try:
        decord: Any = importlib.import_module("decord")
    except (ImportError, OSError) as error:
        raise CannotServeError(f"decord is not installed: {error}") from error
    target = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else str(source)
    try:
        reader = decord.VideoReader(target, num_threads=num_threads)
        times: Times = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    except Exception as error:  # decord raises its own base class, RuntimeError and IndexError alike
        raise CannotServeError(f"decord cannot open it: {error}") from error
    expected = facts.timeline.times_sec - facts.timeline.start_sec
    if len(times) != len(expected) or np.abs(times - expected).max() > _MAX_TIME_ERROR_SEC:
        raise CannotServeError("decord sees other frames or times than the packets tell")
    try:
        pictures: npt.NDArray[np.uint8] = reader.get_batch([int(index) for index in wanted]).asnumpy()
    except Exception as error:
        raise CannotServeError(f"decord breaks: {error}") from error
    yield from zip(wanted.tolist(), pictures, strict=True)


def _refuse_by_facts(facts: PyavReader) -> None:
    if not facts.table.is_exact:
        raise CannotServeError("its packets do not tell the times of its frames")
    if facts.table.has_leading_frames:
        raise CannotServeError("it has open groups of pictures")
    if facts.pixel_format not in ("yuv420p", "yuvj420p") or facts.info.width % 2 or facts.info.height % 2:
        raise CannotServeError(
            f"its pictures are {facts.pixel_format} {facts.info.width}x{facts.info.height}"
        )
    try:
        is_mirrored = facts.is_mirrored
    except MediaError as error:
        raise CannotServeError(f"its first frame cannot be decoded: {error.reason}") from error
    if is_mirrored:
        raise CannotServeError("its pictures are shown mirrored")
    if facts.exif_turn not in (None, (False, False, False)):
        raise CannotServeError("its pictures tell their turn in EXIF, which decord does not read")
