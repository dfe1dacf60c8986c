"""Defines the interface of a decoder backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from clipbert_mmf.video.arrays import Indices, Picture
from clipbert_mmf.video.decode.pyav_backend import PyavReader


class CannotServeError(Exception):
    """A backend is absent, or cannot be trusted with a file; PyAV takes over."""


class Backend(Protocol):
    """Decodes the wanted frames of one video."""

    def __call__(
        self, source: bytes | Path, reader: PyavReader, wanted: Indices, num_threads: int, /
    ) -> Iterator[tuple[int, Picture]]:
        """Decode frames.

        Args:
            source: the encoded bytes, or a file.
            reader: the same file, opened by PyAV: its ``info``, ``timeline`` and packets.
            wanted: sorted, distinct frame indices of the timeline.
            num_threads: threads of the decoder.

        Yields:
            Frame index and ``(H, W, 3)`` uint8 RGB, upright, in any order.

        Raises:
            CannotServeError: before the first frame, where PyAV should take over.
            MediaError: if a frame cannot be decoded.
        """
        ...
