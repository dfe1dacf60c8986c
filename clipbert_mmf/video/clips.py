"""Reads a medium as a model sees it.

A key of a store, or a source, to the uint8 frames of K clips (paper section 3).

One call opens the file once, decodes every wanted frame once and resizes it; frames stay uint8 until the
device. Training and inference both read through ``ClipReader``.
"""
# pyright: reportUnknownMemberType=false
# torch's own annotations leave the arguments of some methods open.

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

import av
import numpy as np
import PIL
import torch
from torch import Tensor

from clipbert_mmf.configuration import suggest
from clipbert_mmf.transforms.augmentation import change_and_pad, draw_change
from clipbert_mmf.transforms.frames import pad_channels_last, resize_and_pad
from clipbert_mmf.video.decode import BACKENDS, VideoInfo, read_frames
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.errors import MAX_MEGAPIXELS, MediaError, NoVideoStreamError
from clipbert_mmf.video.frame_folders import DEFAULT_FRAMES_FPS, FrameFolder, FrameTimes
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.sampling import (
    SAMPLERS,
    ClipChooser,
    TimedVideo,
    WindowChooser,
    choose_clip_length,
)
from clipbert_mmf.video.stores.base import MediaStore
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.watchdog import MEMORY_MIB, GuardedReader

logger = logging.getLogger(__name__)

#: A part of a video that ends later than the video by no more than this is cut without a word: times are
#: rounded.
_TOLD_SEC = 0.1


@dataclass(frozen=True)
class MediaFacts:
    """Facts about a video that reading it tells; None where the medium does not have them.

    Attributes:
        duration_sec: end of the last frame, counted from the start of the file.
        fps: frames per second on average.
        width: pixels of the stored picture, before any rotation.
        height: pixels of the stored picture, before any rotation.
    """

    duration_sec: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Clips:
    """The input of a model from one medium.

    Attributes:
        frames: ``(K, T, 3, L, L)`` uint8 RGB.
        times_sec: start and end of each of the K clips; empty for an image.
        facts: facts about the medium.
    """

    frames: Tensor
    times_sec: tuple[tuple[float, float], ...] = ()
    facts: MediaFacts = MediaFacts()


@dataclass(frozen=True)
class Windows:
    """Some windows of a video, each read as ``Clips`` of its own would be.

    Attributes:
        clips: one for each window.
        windows_sec: start and end of each window.
        num_windows: number of windows of the whole video.
    """

    clips: tuple[Clips, ...]
    windows_sec: tuple[tuple[float, float], ...]
    num_windows: int


@dataclass(frozen=True)
class ClipOptions:
    """Settings of reading a video as K clips of T frames.

    Attributes:
        image_size: L, pixels.
        num_clips: K.
        num_frames: T.
        sampling: rule that places the clips, a key of ``SAMPLERS``.
        fps: frames per second inside a clip, which then lasts T / fps seconds; or None.
        clip_len_sec: length of a clip; None with ``fps`` or for the paper's one second.
        window_sec: start and end of the part of every video that counts, or None for all of it.
        frames_fps: frames per second of a medium that is a folder of numbered images.
        backend: decoder, a key of ``BACKENDS``.
        num_threads: threads of the decoder; one is best where each worker decodes its own videos.
        reader_timeout_sec: longest time for one video in a reader process, which is ended when a file makes
            the decoder hang; None reads in this process.
        reader_memory_mib: memory that one video may take in the reader process; None sets no limit.
        max_megapixels: largest picture that is decoded; a small file may hold one that fills the memory.
        cache_dir: local folder that keeps copies of what remote stores gave, or None.
        crop_area: training: smallest share of the area that a random crop keeps; 1 keeps all.
        mirror: training: probability of a mirror image.
        color_jitter: training: largest change of brightness, contrast and saturation, as a share.

    Raises:
        ValueError: for a value out of range.
    """

    media: ClassVar[str] = "video"

    image_size: int = 448
    num_clips: int = 1
    num_frames: int = 1
    sampling: str = "random"
    fps: float | None = None
    clip_len_sec: float | None = None
    window_sec: tuple[float, float] | None = None
    frames_fps: float = DEFAULT_FRAMES_FPS
    backend: str = "auto"
    num_threads: int = 1
    reader_timeout_sec: float | None = None
    reader_memory_mib: int | None = MEMORY_MIB
    max_megapixels: float = MAX_MEGAPIXELS
    cache_dir: str | None = None
    crop_area: float = 1.0
    mirror: float = 0.0
    color_jitter: float = 0.0

    def __post_init__(self) -> None:
        _require_limits(self)
        for name in ("image_size", "num_clips", "num_frames"):
            _require_positive(name, getattr(self, name))
        for name, table in (("sampling", SAMPLERS), ("backend", BACKENDS)):
            value = getattr(self, name)
            if value not in table:
                raise ValueError(
                    f"{name} is '{value}'{suggest(value, table)}; allowed are {', '.join(table)}"
                )
        if self.fps and self.clip_len_sec:
            raise ValueError("give fps or clip_len_sec, not both")
        for name in ("fps", "clip_len_sec", "frames_fps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; expected a number above 0, or null")
        if self.window_sec and not self.window_sec[0] <= self.window_sec[1]:
            raise ValueError(f"window_sec is {list(self.window_sec)}; expected its start before its end")

    @property
    def clip_duration_sec(self) -> float:
        """Length of a clip in seconds: as configured, or T / fps, or 1."""
        return choose_clip_length(self.num_frames, self.fps, self.clip_len_sec)


@dataclass(frozen=True)
class ImageOptions:
    """Settings of reading an image as one clip of one frame.

    Attributes:
        image_size: L, pixels.
        reader_timeout_sec: longest time for one image in a reader process; None reads in this process.
        reader_memory_mib: memory that one image may take in the reader process; None sets no limit.
        max_megapixels: largest picture that is decoded; a small file may hold one that fills the memory.
        cache_dir: local folder that keeps copies of what remote stores gave, or None.
        crop_area: training: smallest share of the area that a random crop keeps; 1 keeps all.
        mirror: training: probability of a mirror image.
        color_jitter: training: largest change of brightness, contrast and saturation, as a share.

    Raises:
        ValueError: for a value out of range.
    """

    media: ClassVar[str] = "image"
    num_clips: ClassVar[int] = 1
    num_frames: ClassVar[int] = 1

    image_size: int = 768
    reader_timeout_sec: float | None = None
    reader_memory_mib: int | None = MEMORY_MIB
    max_megapixels: float = MAX_MEGAPIXELS
    cache_dir: str | None = None
    crop_area: float = 1.0
    mirror: float = 0.0
    color_jitter: float = 0.0

    def __post_init__(self) -> None:
        _require_limits(self)
        _require_positive("image_size", self.image_size)


#: Kind of medium -> its settings.
MEDIA_OPTIONS: dict[str, type[ClipOptions] | type[ImageOptions]] = {
    options.media: options for options in (ClipOptions, ImageOptions)
}
#: Settings that are of a machine, not of a model: frames are the same whatever they are.
MACHINE_OPTIONS = frozenset(
    {"backend", "num_threads", "reader_timeout_sec", "reader_memory_mib", "max_megapixels", "cache_dir"}
)


class ClipReader:
    """Reads media of one kind; keeps its stores open, and can be pickled and cross a fork.

    Args:
        options: settings of the kind of medium.
        on_served: told the backend that decoded each video; see ``served.ServedTally``.
    """

    def __init__(
        self, options: ClipOptions | ImageOptions, on_served: Callable[[str], None] | None = None
    ) -> None:
        self.options = options
        self._source_reader: _SourceReader = (
            _VideoReader(options, on_served) if isinstance(options, ClipOptions) else _ImageReader(options)
        )
        self._stores: dict[str | tuple[str, ...], MediaStore] = {}

    @property
    def frames_shape(self) -> tuple[int, int, int, int, int]:
        """``(K, T, 3, L, L)`` of every result."""
        size = self.options.image_size
        return (self.options.num_clips, self.options.num_frames, 3, size, size)

    def make_blank(self) -> Clips:
        """Return the stand-in for an unreadable medium: black frames, clips of no length."""
        num_times = self.options.num_clips if self.options.media == "video" else 0
        return Clips(torch.zeros(self.frames_shape, dtype=torch.uint8), ((0.0, 0.0),) * num_times)

    def open_store(self, location: str | tuple[str, ...]) -> MediaStore:
        """Return the store at ``location``, opened once per reader."""
        if location not in self._stores:
            self._stores[location] = open_store(
                location, cache_dir=self.options.cache_dir, media=self.options.media
            )
        return self._stores[location]

    def read(
        self,
        location: str | tuple[str, ...],
        key: str,
        rng: np.random.Generator | None = None,
        window_sec: tuple[float, float] | None = None,
    ) -> Clips:
        """Read a medium of a store, or a part of it.

        Args:
            location: place of the store, as ``open_store`` takes it.
            key: the medium's key in the store.
            rng: draws the clips of a video; None draws the same ones each time.
            window_sec: the part of this video that counts, its end may be infinite; None for the one of the
                options.

        Raises:
            OutsideVideoError: if nothing of the window lies in the video.
            MediaError: if it cannot be read.
        """
        source = self.open_store(location).read(key)
        return self._source_reader.read(source, rng, window_sec, key, str(location))

    def read_source(
        self,
        source: bytes | Path | FrameFolder | DecodedVideo,
        rng: np.random.Generator | None = None,
        window_sec: tuple[float, float] | None = None,
        key: str = "",
    ) -> Clips:
        """Read an encoded file, its bytes, a folder of frames, or decoded frames; ``key`` is its name in errors.

        See ``read`` for the rest.
        """
        return self._source_reader.read(source, rng, window_sec, key, "")

    def read_windows(
        self, source: bytes | Path | FrameFolder, length_sec: float, first: int, count: int, key: str = ""
    ) -> Windows:
        """Read some of the windows of a video in one pass; see ``sampling.split_windows``.

        Args:
            source: an encoded file, its bytes, or a folder of frames.
            length_sec: length of a window.
            first: number of the first window.
            count: number of windows; fewer are returned at the end of the video.
            key: name in errors.

        Raises:
            MediaError: if it cannot be read, or is an image.
        """
        if not isinstance(self._source_reader, _VideoReader):
            raise NoVideoStreamError("an image has no windows", key)
        return self._source_reader.read_windows(source, length_sec, first, count, key)

    def resolve(self, location: str | tuple[str, ...], name: str) -> str | None:
        """Return the key of the medium that a name stands for, None where the store has none.

        Raises:
            AmbiguousNameError: if it stands for several.
            StoreError: if the store itself cannot be opened.
        """
        return self.open_store(location).resolve(name)

    def count_missing(self, location: str | tuple[str, ...], keys: Iterable[str]) -> int:
        """Return how many of the keys the store lacks; see ``list_missing``."""
        return len(self.list_missing(location, keys))

    def list_missing(self, location: str | tuple[str, ...], keys: Iterable[str]) -> list[str]:
        """Return the keys that the store lacks, in order.

        Raises:
            MediaError: if the store itself cannot be opened.
        """
        store = self.open_store(location)
        return [key for key in keys if key not in store]

    def stamp(self, location: str | tuple[str, ...], keys: Iterable[str]) -> list[str]:
        """Return the state of each medium, empty where it is missing; see ``MediaStore.stamp``.

        It tells whether a result that follows from the media is stale.
        """
        store = self.open_store(location)
        stamps: list[str] = []
        for key in keys:
            try:
                stamps.append(store.stamp(key))
            except (MediaError, OSError):
                stamps.append("")
        return stamps

    def describe_decoder(self) -> str:
        """Return what decides whether a medium can be read: the decoder, its libraries, the time limit."""
        options = self.options
        limits = (
            f"{options.reader_timeout_sec} s, {options.reader_memory_mib} MiB, {options.max_megapixels:g} Mpx"
        )
        libraries = f"PyAV {av.__version__}, Pillow {PIL.__version__}"
        return ", ".join(
            [*([options.backend] if isinstance(options, ClipOptions) else []), limits, libraries]
        )

    def close(self) -> None:
        """End the reader process, where the options ask for one."""
        self._source_reader.close()


class _SourceReader(Protocol):
    """Reads one kind of medium."""

    def read(
        self,
        source: bytes | Path | FrameFolder | DecodedVideo,
        rng: np.random.Generator | None,
        window_sec: tuple[float, float] | None,
        key: str,
        store: str,
    ) -> Clips: ...

    def close(self) -> None: ...


class _VideoReader:
    """Chooses K clips of T frames and decodes them."""

    def __init__(self, options: ClipOptions, on_served: Callable[[str], None] | None):
        self._options = options
        self._on_served = on_served
        # Shared memory: what one worker told, the others keep to themselves.
        self._has_told = torch.zeros((), dtype=torch.uint8).share_memory_()
        self._guard = _make_guard(options)
        self._read_image = read_image if self._guard is None else self._guard.read_image

    def read(
        self,
        source: bytes | Path | FrameFolder | DecodedVideo,
        rng: np.random.Generator | None,
        window_sec: tuple[float, float] | None,
        key: str,
        store: str,
    ) -> Clips:
        rng = rng or np.random.default_rng(0)
        transform = _make_transform(self._options, rng)
        chooser = self._make_chooser(window_sec, rng)
        frames = self._decode(source, chooser, transform, key, store)
        if window_sec is not None and chooser.duration_sec + _TOLD_SEC < window_sec[1] < math.inf:
            self._tell_cut(key, window_sec, chooser.duration_sec)
        return Clips(frames, _list_spans(chooser.spans_sec), _describe(chooser.info))

    def read_windows(
        self, source: bytes | Path | FrameFolder, length_sec: float, first: int, count: int, key: str
    ) -> Windows:
        chooser = WindowChooser(self._make_chooser, length_sec, first, count)
        transform = _make_transform(self._options, np.random.default_rng(0))
        frames = self._decode(source, chooser, transform, key, "")
        size, facts = self._options.num_clips, _describe(chooser.info)
        starts = range(0, len(frames), size)
        clips = tuple(
            Clips(frames[start : start + size], _list_spans(chooser.spans_sec[start : start + size]), facts)
            for start in starts
        )
        return Windows(clips, tuple(chooser.windows_sec), chooser.num_windows)

    def _make_chooser(
        self, window_sec: tuple[float, float] | None, rng: np.random.Generator | None = None
    ) -> ClipChooser:
        options = self._options
        return ClipChooser(
            options.sampling,
            options.num_clips,
            options.num_frames,
            options.clip_duration_sec,
            rng or np.random.default_rng(0),
            window_sec or options.window_sec,
        )

    def _decode(
        self,
        source: bytes | Path | FrameFolder | DecodedVideo,
        chooser: ClipChooser | WindowChooser,
        transform: Callable[[Tensor], Tensor],
        key: str,
        store: str,
    ) -> Tensor:
        options = self._options
        if isinstance(source, DecodedVideo):
            return self._take_frames(source, chooser(source), transform)
        if isinstance(source, FrameFolder):
            try:
                return self._read_frame_folder(source, chooser, transform)
            except MediaError as error:
                raise type(error)(error.reason, key or str(source.path), store) from error
        decode = read_frames if self._guard is None else self._guard.read_frames
        return decode(
            source,
            chooser,
            backend=options.backend,
            num_threads=options.num_threads,
            on_served=self._on_served,
            key=key,
            store=store,
            transform=transform,
            max_megapixels=options.max_megapixels,
        )

    def _tell_cut(self, key: str, window_sec: tuple[float, float], duration_sec: float) -> None:
        if self._has_told:
            return
        self._has_told.fill_(1)
        logger.warning(
            "'%s': the part from %g to %g s goes beyond the video, which is %g s long, and is cut to it; "
            "others like it "
            "are cut without a further message",
            key,
            *window_sec,
            duration_sec,
        )

    def _read_frame_folder(
        self,
        folder: FrameFolder,
        choose_times: ClipChooser | WindowChooser,
        transform: Callable[[Tensor], Tensor],
    ) -> Tensor:
        paths = folder.list_frames()
        times = FrameTimes(len(paths), self._options.frames_fps)
        shown = times.frames_at(choose_times(times))
        wanted, rows = np.unique(shown, return_inverse=True)
        limit = self._options.max_megapixels
        pictures = (
            self._read_image(paths[i], max_megapixels=limit).permute(1, 2, 0) for i in map(int, wanted)
        )
        frames = torch.stack([transform(picture) for picture in pictures])
        return frames[torch.from_numpy(rows.reshape(shown.shape))]

    def _take_frames(
        self, video: DecodedVideo, times_sec: np.ndarray, transform: Callable[[Tensor], Tensor]
    ) -> Tensor:
        shown = video.frames_at(times_sec)
        wanted, rows = np.unique(shown, return_inverse=True)
        frames = torch.stack([transform(torch.from_numpy(video.frames[i])) for i in wanted])
        return frames[torch.from_numpy(rows.reshape(shown.shape))]

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close()


class _ImageReader:
    """Takes an image, or the first of decoded frames, as one clip of one frame."""

    def __init__(self, options: ImageOptions):
        self._options, self._size = options, options.image_size
        self._guard = _make_guard(options)
        self._read_image = read_image if self._guard is None else self._guard.read_image

    def read(
        self,
        source: bytes | Path | FrameFolder | DecodedVideo,
        rng: np.random.Generator | None,
        window_sec: tuple[float, float] | None,
        key: str,
        store: str,
    ) -> Clips:
        if isinstance(source, FrameFolder):
            raise NoVideoStreamError("a folder of frames is a video, no image", key, store)
        if isinstance(source, DecodedVideo):
            image = torch.from_numpy(source.frames[0]).permute(2, 0, 1)
        else:
            image = self._read_image(
                source,
                key=key,
                store=store,
                # A crop is a part of the picture, and its size is wanted.
                longest_side=math.ceil(self._size / math.sqrt(self._options.crop_area)),
                max_megapixels=self._options.max_megapixels,
            )
        if changes_frames(self._options):
            transform = _make_transform(self._options, rng or np.random.default_rng(0))
            return Clips(transform(image.permute(1, 2, 0))[None, None])
        return Clips(resize_and_pad(image, self._size)[None, None])

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close()


def changes_frames(options: ClipOptions | ImageOptions) -> bool:
    """Return whether frames are changed at random, which is for training alone."""
    return options.crop_area < 1 or options.mirror > 0 or options.color_jitter > 0


def _make_transform(
    options: ClipOptions | ImageOptions, rng: np.random.Generator
) -> Callable[[Tensor], Tensor]:
    """Return what makes ``(3, L, L)`` of a decoder's ``(H, W, 3)``; its change is drawn here, for all frames."""
    if not changes_frames(options):
        return partial(pad_channels_last, image_size=options.image_size)
    change = draw_change(rng, options.crop_area, options.mirror, options.color_jitter)
    return partial(change_and_pad, image_size=options.image_size, change=change)


def _list_spans(spans_sec: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(start), float(end)) for start, end in spans_sec)


def _describe(info: TimedVideo | None) -> MediaFacts:
    if info is None:
        return MediaFacts()
    size = (info.width, info.height) if isinstance(info, VideoInfo) else (None, None)
    return MediaFacts(float(info.duration_sec), float(info.fps), *size)


def _make_guard(options: ClipOptions | ImageOptions) -> GuardedReader | None:
    timeout_sec = options.reader_timeout_sec
    return None if timeout_sec is None else GuardedReader(timeout_sec, options.reader_memory_mib)


def _require_limits(options: ClipOptions | ImageOptions) -> None:
    if not options.max_megapixels > 0:
        raise ValueError(f"max_megapixels is {options.max_megapixels}; expected a number above 0")
    for name, lowest in (("crop_area", 0.01), ("mirror", 0.0), ("color_jitter", 0.0)):
        if not lowest <= getattr(options, name) <= 1:
            raise ValueError(f"{name} is {getattr(options, name)}; expected {lowest:g} to 1")
    memory_mib = options.reader_memory_mib
    if memory_mib is not None and memory_mib < 1:
        raise ValueError(f"reader_memory_mib is {memory_mib}; expected at least 1, or null")


def _require_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1")
