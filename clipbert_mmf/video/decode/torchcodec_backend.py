"""Reads frames with TorchCodec, where it is installed and gives the frames that PyAV gives.

It is asked for files whose packets tell the times of their frames, and for pictures that it converts to RGB exactly as
PyAV does and that are not mirrored, which it would not undo; PyAV takes everything else. It uses the FFmpeg of the
system. Optional: ``pip install 'torchcodec>=0.17'``.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clipbert_mmf.extras import import_extra
from clipbert_mmf.video.arrays import Indices, Picture, Times
from clipbert_mmf.video.decode.backend import CannotServeError
from clipbert_mmf.video.decode.pyav_backend import PyavReader
from clipbert_mmf.video.errors import MediaError

logger = logging.getLogger(__name__)

#: A frame is never this short.
_MAX_TIME_ERROR_SEC = 2e-3
#: Formats that both convert alike; those of fewer colours than pixels only with even sizes.
_SUBSAMPLED, _WHOLE = ("yuv420p", "yuvj420p"), ("yuv444p", "bgr0", "bgra")
#: Containers that name other files, which FFmpeg would open without our limits.
_PLAYLISTS = ("hls", "dash", "concat")


def read_with_torchcodec(
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
        CannotServeError: before the first frame, when TorchCodec is absent, breaks, or is not to be trusted
            with this file.
    """
    make_decoder = _find_decoder()
    if make_decoder is None:
        raise CannotServeError("TorchCodec cannot be imported")
    _refuse_by_facts(facts)
    # "file:" keeps a name with a colon from being taken for a protocol.
    target = bytes(source) if isinstance(source, (bytes, bytearray, memoryview)) else f"file:{source}"
    try:
        decoder = make_decoder(
            target, stream_index=facts.stream_index, dimension_order="NHWC", num_ffmpeg_threads=num_threads
        )
        found, start_sec = decoder.metadata.num_frames, decoder.metadata.begin_stream_seconds
        if found != facts.timeline.num_frames:
            raise CannotServeError(f"TorchCodec sees {found} frames, the packets {facts.timeline.num_frames}")
        batch = decoder.get_frames_at(wanted.tolist())
        times: Times = batch.pts_seconds.numpy() - start_sec
    except CannotServeError:
        raise
    except Exception as error:  # TorchCodec raises RuntimeError, ValueError, IndexError and others alike
        raise CannotServeError(f"TorchCodec breaks: {error}") from error
    if (
        np.abs(times - (facts.timeline.times_sec[wanted] - facts.timeline.start_sec)).max()
        > _MAX_TIME_ERROR_SEC
    ):
        raise CannotServeError("TorchCodec sees other times than the packets tell")
    yield from zip(wanted.tolist(), batch.data.numpy(), strict=True)


@functools.cache
def _find_decoder() -> Any:
    """Return the class ``VideoDecoder``; None where it cannot be imported, which is told once."""
    try:
        module = import_extra("torchcodec.decoders", "torchcodec", "backend torchcodec needs TorchCodec")
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: no library of FFmpeg is found
        told = str(error).strip().splitlines()[0]
        logger.warning("PyAV reads the videos, with the same frames: %s", told)
        return None
    return module.VideoDecoder


def _refuse_by_facts(facts: PyavReader) -> None:
    if not facts.table.is_exact:
        raise CannotServeError("its packets do not tell the times of its frames")
    if any(name in facts.info.container for name in _PLAYLISTS):
        raise CannotServeError(f"it is a playlist ({facts.info.container})")
    form, width, height = facts.pixel_format, facts.info.width, facts.info.height
    if form not in _WHOLE and (form not in _SUBSAMPLED or width % 2 or height % 2):
        raise CannotServeError(f"its pictures are {form} {width}x{height}")
    try:
        is_mirrored = facts.is_mirrored
    except MediaError as error:
        raise CannotServeError(f"its first frame cannot be decoded: {error.reason}") from error
    if is_mirrored:
        raise CannotServeError("its pictures are shown mirrored")
    if facts.exif_turn not in (None, (False, False, False)):
        raise CannotServeError("its pictures tell their turn in EXIF, which TorchCodec does not read")
