"""Reads all clips of a video in one open and one pass.

Each distinct frame is decoded and transformed once.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's own annotations leave the arguments of these methods open.

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.tables import add_to_table
from clipbert_mmf.video.arrays import Indices, Picture, Times
from clipbert_mmf.video.decode.backend import Backend, CannotServeError
from clipbert_mmf.video.decode.containers import find_truncation_in
from clipbert_mmf.video.decode.decord_backend import read_with_decord
from clipbert_mmf.video.decode.pyav_backend import PyavReader, open_pyav, read_with_pyav
from clipbert_mmf.video.decode.timeline import VideoInfo
from clipbert_mmf.video.decode.torchcodec_backend import read_with_torchcodec
from clipbert_mmf.video.errors import (
    MAX_MEGAPIXELS,
    DecodeError,
    EmptyMediaError,
    MediaError,
    NoVideoStreamError,
    TruncatedMediaError,
    refuse_extreme_aspect,
    refuse_many_pixels,
)
from clipbert_mmf.video.images import is_still_container
from clipbert_mmf.video.sources import read_head, require_regular

logger = logging.getLogger(__name__)

#: ``auto`` is PyAV: it shows the right frame of every file and, measured, is faster (tools/benchmark.py
#: data).
BACKENDS: dict[str, Backend] = {"auto": read_with_pyav, "pyav": read_with_pyav, "decord": read_with_decord}

ChooseTimes = Callable[[VideoInfo], Times]
Transform = Callable[[Tensor], Tensor]


def register_backend(name: str, read: Backend) -> None:
    """Make ``backend: <name>`` of the video processor possible.

    Args:
        name: new key of ``BACKENDS``.
        read: decodes frames, or raises ``CannotServeError`` and PyAV takes over.

    Raises:
        ValueError: if the name is taken by another backend.
    """
    add_to_table(BACKENDS, "a backend", name, read)


register_backend("torchcodec", read_with_torchcodec)
#: Backends of this package, which all show the pictures of PyAV; one of a user's own may show others.
OWN_BACKENDS = frozenset(BACKENDS)


def read_frames(
    source: bytes | Path,
    choose_times: Times | ChooseTimes,
    *,
    backend: str = "auto",
    key: str = "",
    store: str = "",
    transform: Transform | None = None,
    num_threads: int = 1,
    on_served: Callable[[str], None] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Tensor:
    """Decode the frames on screen at the given times.

    Args:
        source: the encoded bytes, or a file.
        choose_times: seconds as a player shows them, any shape such as ``(K, T)``; or a function that
            returns them, called once, for callers that need to know the duration first. A time outside the
            video shows its first or last frame.
        backend: a key of ``BACKENDS``. Where the chosen one cannot serve a file, PyAV does.
        key: name for messages.
        store: location for messages.
        transform: from ``(H, W, 3)`` uint8 to one frame of the result, called once per distinct frame;
            without it frames are ``(3, H, W)``, stored as ``(H, W, 3)``.
        num_threads: decoder threads; one is best where each worker decodes its own videos.
        on_served: told which backend decoded the frames; see ``served.ServedTally``.
        max_megapixels: largest picture that is decoded.

    Returns:
        ``(*times.shape, 3, H, W)`` uint8 RGB, upright; sample aspect ratios are ignored.

    Raises:
        MediaError: a subclass that says what is wrong with the medium.
        ValueError: for an unknown backend, or times that are no numbers.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is '{backend}'; allowed are {', '.join(BACKENDS)}")
    with _name_errors(source, key, store):
        check_source(source, max_megapixels)
        is_guide = BACKENDS[backend] is not read_with_pyav
        with open_pyav(source, num_threads, is_guide, max_megapixels) as reader:
            times = _call_chooser(choose_times, reader.info)
            shown = reader.timeline.frames_at(times.reshape(-1))
            frames, served = _read_shown(source, reader, shown, backend, transform, num_threads)
    if on_served:
        on_served(served)
    return frames.reshape(*times.shape, *frames.shape[1:])


def describe_video(source: bytes | Path, *, key: str = "", store: str = "") -> VideoInfo:
    """Return what is known about a video without decoding it.

    Raises:
        MediaError: as ``read_frames``.
    """
    with _name_errors(source, key, store):
        check_source(source)
        with open_pyav(source) as reader:
            return reader.info


class _CallerError(Exception):
    """Carries the caller's own error, its cause, past the boundary."""


@contextmanager
def _name_errors(source: bytes | Path, key: str, store: str) -> Generator[None, None, None]:
    """Make every error a ``MediaError`` that names the medium; the caller's own errors stay."""
    name = key or _name_of(source)
    try:
        yield
    except MediaError as error:
        raise type(error)(error.reason, name, store) from error
    except _CallerError as error:
        assert error.__cause__ is not None
        raise error.__cause__ from None
    except Exception as error:
        raise DecodeError(f"the decoder fails: {type(error).__name__}: {error}", name, store) from error


def _call_chooser(choose_times: Times | ChooseTimes, info: VideoInfo) -> Times:
    try:
        times = np.asarray(choose_times(info) if callable(choose_times) else choose_times, dtype=np.float64)
        if not times.size or not np.isfinite(times).all():
            raise ValueError(f"times are {times}; expected at least one finite number of seconds")
    except MediaError:
        raise
    except Exception as error:
        raise _CallerError from error
    return times


def _read_shown(
    source: bytes | Path,
    reader: PyavReader,
    shown: Indices,
    backend: str,
    transform: Transform | None,
    num_threads: int,
) -> tuple[Tensor, str]:
    """Return one row per entry of ``shown`` (frame indices), and which backend decoded them."""
    wanted = np.unique(shown)
    read = BACKENDS[backend]
    if read is not read_with_pyav:
        try:
            return _collect(read(source, reader, wanted, num_threads), shown, transform), backend
        except CannotServeError as reason:
            logger.debug("PyAV takes over: %s", reason)
    return _collect(reader.frames(wanted), shown, transform), "pyav"


def _collect(pictures: Iterator[tuple[int, Picture]], shown: Indices, transform: Transform | None) -> Tensor:
    frames: Tensor | None = None
    rows_of_frame: dict[int, list[int]] = {}
    for row, index in enumerate(shown.tolist()):
        rows_of_frame.setdefault(index, []).append(row)
    for index, picture in pictures:
        height, width = picture.shape[:2]
        refuse_extreme_aspect(width, height)
        frame = torch.from_numpy(picture)
        frame = transform(frame) if transform else frame
        if frames is None:
            frames = frame.new_empty((len(shown), *frame.shape))
        elif frame.shape != frames.shape[1:]:
            raise DecodeError(
                f"the picture changes its size from {tuple(frames.shape[1:])} to {tuple(frame.shape)}"
            )
        for row in rows_of_frame.pop(index):
            frames[row] = frame
    if frames is None or rows_of_frame:
        raise DecodeError(f"frames {sorted(rows_of_frame)[:5]} cannot be decoded")
    # Pictures stay stored as they were decoded, (H, W, 3): turning them is a copy that the caller may not
    # need.
    return frames if transform else frames.permute(0, 3, 1, 2)


def check_source(source: bytes | Path, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Raise ``MediaError`` for a source that no backend should open: missing, empty, cut, a picture, too large."""
    is_path = not isinstance(source, (bytes, bytearray, memoryview))
    if (require_regular(source).st_size if is_path else len(source)) == 0:
        raise EmptyMediaError("the file is empty")
    try:
        head = read_head(source)
        if is_still_container(head):
            raise NoVideoStreamError("not a video (a HEIC or AVIF picture)")
        if head.startswith(b"GIF8"):
            # FFmpeg decodes the first picture of a GIF while it opens it.
            refuse_many_pixels(*struct.unpack("<HH", head[6:10].ljust(4, b"\0")), max_megapixels)
        cut = find_truncation_in(source)
    except OSError as error:
        raise DecodeError(f"cannot be read: {error}") from error
    if cut:
        raise TruncatedMediaError(f"cut short: {cut}")


def _name_of(source: bytes | Path) -> str:
    return "" if isinstance(source, (bytes, bytearray, memoryview)) else str(source)
