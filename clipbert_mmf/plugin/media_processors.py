"""``clipbert_video`` and ``clipbert_image``: a key in a store to the uint8 frames of K clips (paper section 3).

One call opens the file once, decodes every wanted frame once and resizes it; frames stay uint8 until the device.
Comes after the dataset chose the item; the model's backbone reads the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmf.common.registry import registry
from mmf.datasets.processors.processors import BaseProcessor
from torch import Tensor

from clipbert_mmf.plugin.processor_params import read_params
from clipbert_mmf.transforms.frames import pad_channels_last, resize_and_pad
from clipbert_mmf.video.decode import BACKENDS, read_frames
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.sampling import SAMPLERS, ClipChooser, choose_clip_length
from clipbert_mmf.video.served import ServedTally
from clipbert_mmf.video.stores.open import MediaStore, open_store
from clipbert_mmf.video.watchdog import GuardedReader


@dataclass(frozen=True)
class MediaResult:
    """Frames of one medium, or why there are none.

    Attributes:
        frames: ``(K, T, 3, L, L)`` uint8 RGB, or None when the medium could not be read.
        failure: the reason in one line, empty when ``frames`` is there.
        clip_times_sec: ``(K, 2)`` float32, start and end of each clip; None for an image or where nothing was read.
    """

    frames: Tensor | None
    failure: str = ""
    clip_times_sec: Tensor | None = None


class MediaProcessor(BaseProcessor):
    """Shared by both processors: keeps the stores open, turns a ``MediaError`` into a ``MediaResult``."""

    NAME = ""
    PARAMS: dict[str, Any] = {}

    def __init__(self, config, *args, **kwargs):
        self.params = read_params(self.NAME, config, self.PARAMS)
        self._stores: dict[str, MediaStore] = {}
        self._check_params()

    def _check_params(self) -> None:
        for key in ("image_size", "num_clips", "num_frames"):
            value = self.params.get(key, 1)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"processor '{self.NAME}': {key} is {value!r}; expected a whole number of at least 1"
                )

    @property
    def frames_shape(self) -> tuple[int, ...]:
        """``(K, T, 3, L, L)`` of every result."""
        size = self.params["image_size"]
        return (self.params.get("num_clips", 1), self.params.get("num_frames", 1), 3, size, size)

    @property
    def blank(self) -> MediaResult:
        """What stands for a medium that could not be read: black frames, clips of no length."""
        return MediaResult(
            torch.zeros(self.frames_shape, dtype=torch.uint8), clip_times_sec=self._blank_times()
        )

    def _blank_times(self) -> Tensor | None:
        return None

    def open_store(self, location: str) -> MediaStore:
        """Return the store at ``location``, opened once per process."""
        if location not in self._stores:
            self._stores[location] = open_store(location, cache_dir=self.params["cache_dir"])
        return self._stores[location]

    def __call__(
        self,
        location: str,
        key: str,
        rng: np.random.Generator,
        window_sec: tuple[float, float] | None = None,
    ) -> MediaResult:
        """Read one medium.

        Args:
            location: folder, LMDB or other store.
            key: the medium's key in the store (file stem).
            rng: draws the clips; read_image does not use it.
            window_sec: part of the video that counts, or None for all of it.
        """
        try:
            return self._read(self.open_store(location), location, key, rng, window_sec)
        except MediaError as error:
            return MediaResult(None, str(error))

    def count_missing(self, location: str, keys: Iterable[str]) -> int:
        """Return how many of the keys the store lacks.

        Raises:
            MediaError: if the store itself cannot be opened.
        """
        store = self.open_store(location)
        return sum(key not in store for key in keys)

    def stamp(self, location: str, keys: Iterable[str]) -> list[tuple[str, int, int]]:
        """Return name, bytes and time of change of each medium that is a file of its own; others are known by location.

        What follows from the media can be told stale by it without reading them.
        """
        store, stamps = self.open_store(location), []
        for key in keys:
            try:
                found = store.read(key)
            except MediaError:
                continue
            if not isinstance(found, Path):
                return [(str(location), 0, 0)]
            status = found.stat()
            stamps.append((found.name, status.st_size, status.st_mtime_ns))
        return stamps

    def take_served(self) -> dict[str, int]:
        """Return how many media each backend served since the last call, over all workers."""
        return {}

    def _read(self, store, location, key, rng, window_sec) -> MediaResult:
        raise NotImplementedError


@registry.register_processor("clipbert_video")
class ClipBertVideoProcessor(MediaProcessor):
    """K clips of T frames.

    Config keys: ``image_size`` (L, pixels), ``num_clips`` (K), ``num_frames`` (T), ``sampling`` (a key of
    ``SAMPLERS``), ``fps`` (frames per second inside a clip; the clip lasts T / fps seconds) or ``clip_len_sec``,
    ``window_sec`` ([start, end] or null: the whole video), ``backend``, ``num_threads`` (of the decoder),
    ``reader_timeout_sec`` (a reader process, ended when a file makes the decoder hang; null: none), ``cache_dir`` (local
    copies of remote stores).
    """

    NAME = "clipbert_video"
    PARAMS = {
        "image_size": 448,
        "num_clips": 1,
        "num_frames": 1,
        "sampling": "random",
        "fps": None,
        "clip_len_sec": None,
        "window_sec": None,
        "backend": "auto",
        "num_threads": 1,
        "reader_timeout_sec": None,
        "cache_dir": None,
    }

    def __init__(self, config, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        self._tally = ServedTally()
        timeout_sec = self.params["reader_timeout_sec"]
        self._read_frames = (
            read_frames if timeout_sec is None else GuardedReader(float(timeout_sec)).read_frames
        )

    def take_served(self) -> dict[str, int]:
        """Return how many videos each backend served since the last call, over all workers."""
        return self._tally.take()

    def _blank_times(self) -> Tensor:
        return torch.zeros(self.params["num_clips"], 2)

    def _check_params(self) -> None:
        super()._check_params()
        if self.params["backend"] not in BACKENDS:
            raise ValueError(
                f"processor '{self.NAME}': backend is '{self.params['backend']}'; allowed are {list(BACKENDS)}"
            )
        how = self.params["sampling"]
        if how not in SAMPLERS:
            raise ValueError(f"processor '{self.NAME}': sampling is '{how}'; allowed are {sorted(SAMPLERS)}")
        if self.params["fps"] and self.params["clip_len_sec"]:
            raise ValueError(f"processor '{self.NAME}': give fps or clip_len_sec, not both")

    @property
    def clip_len_sec(self) -> float:
        """Length of a clip in seconds; 1 s unless configured (the paper's default)."""
        return choose_clip_length(*(self.params[key] for key in ("num_frames", "fps", "clip_len_sec")))

    def _read(self, store, location, key, rng, window_sec) -> MediaResult:
        chooser = ClipChooser(
            self.params["sampling"],
            self.params["num_clips"],
            self.params["num_frames"],
            self.clip_len_sec,
            rng,
            window_sec or self.params["window_sec"],
        )
        frames = self._read_frames(
            store.read(key),
            chooser,
            backend=self.params["backend"],
            num_threads=self.params["num_threads"],
            on_served=self._tally,
            key=key,
            store=location,
            transform=partial(pad_channels_last, image_size=self.params["image_size"]),
        )
        return MediaResult(frames, clip_times_sec=torch.from_numpy(chooser.spans_sec).float())


@registry.register_processor("clipbert_image")
class ClipBertImageProcessor(MediaProcessor):
    """An image as one clip of one frame. Config keys: ``image_size`` (L, pixels), ``cache_dir``."""

    NAME = "clipbert_image"
    PARAMS = {"image_size": 768, "cache_dir": None}

    def _read(self, store, location, key, rng, window_sec) -> MediaResult:
        size = self.params["image_size"]
        image = read_image(store.read(key), key=key, store=location, longest_side=size)
        return MediaResult(resize_and_pad(image, size)[None, None])
