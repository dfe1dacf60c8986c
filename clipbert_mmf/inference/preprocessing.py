"""How a trained model wants its input: the numbers its run evaluated with, never typed again (paper section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.inference.media import DecodedVideo
from clipbert_mmf.inference.settings import RecipeError, select
from clipbert_mmf.transforms.frames import pad_channels_last, resize_and_pad
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.sampling import SAMPLERS, ClipChooser, choose_clip_length

#: Registered processor -> kind of medium.
_MEDIA = {"clipbert_video": "video", "clipbert_image": "image"}


@dataclass(frozen=True)
class Clips:
    """What a model sees of one medium.

    Attributes:
        frames: ``(K, T, 3, L, L)`` uint8 RGB.
        times_sec: start and end of each clip; empty for an image.
    """

    frames: Tensor
    times_sec: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Preprocessing:
    """From a medium and a text to the model's input.

    Attributes:
        media: ``video`` or ``image``: what it was evaluated on.
        image_size: L in pixels.
        num_clips, num_frames: K and T.
        sampling: a key of ``SAMPLERS``.
        clip_len_sec: length of a clip in seconds.
        max_text_tokens: ``[CLS]`` and ``[SEP]`` included.
        window_sec: part of every video that counts, or None for all of it.
    """

    media: str
    image_size: int
    max_text_tokens: int
    num_clips: int = 1
    num_frames: int = 1
    sampling: str = "uniform"
    clip_len_sec: float = 1.0
    window_sec: tuple[float, float] | None = None

    def __post_init__(self):
        for key in ("image_size", "max_text_tokens", "num_clips", "num_frames"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise RecipeError(f"preprocessing: {key} is {value!r}; expected a whole number of at least 1")
        for key, allowed in (("media", sorted(_MEDIA.values())), ("sampling", sorted(SAMPLERS))):
            if getattr(self, key) not in allowed:
                raise RecipeError(f"preprocessing: {key} is {getattr(self, key)!r}; allowed are {allowed}")
        if not isinstance(self.clip_len_sec, (int, float)) or not self.clip_len_sec > 0:
            raise RecipeError(
                f"preprocessing: clip_len_sec is {self.clip_len_sec!r}; expected seconds, more than 0"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Preprocessing:
        """Read what ``to_dict`` wrote; ``where`` is named in errors.

        Raises:
            RecipeError: if a key is missing, unknown or out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown, missing = (
            sorted(set(values) - known),
            sorted({"media", "image_size", "max_text_tokens"} - set(values)),
        )
        if unknown or missing:
            raise RecipeError(
                f"{where}: unknown keys {unknown}, missing keys {missing}; allowed are {sorted(known)}"
            )
        window = values.get("window_sec")
        return cls(**{**values, "window_sec": tuple(window) if window else None})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = asdict(self)
        return {**values, "window_sec": list(self.window_sec) if self.window_sec else None}

    @classmethod
    def from_dataset(cls, section: Mapping[str, Any], where: str) -> Preprocessing:
        """Take the evaluation's settings from a dataset's section of a run's configuration.

        Raises:
            RecipeError: if it has none, or a processor that is not ours.
        """
        processor = select(section, "processors.eval_media_processor", where)
        kind, params = processor.get("type"), processor.get("params") or {}
        if kind not in _MEDIA:
            raise RecipeError(f"{where}: eval_media_processor.type is {kind!r}; allowed are {sorted(_MEDIA)}")
        text = select(section, "processors.text_processor.params", where)
        values = {
            key: params[key] for key in ("image_size", "num_clips", "num_frames", "sampling") if key in params
        }
        if kind == "clipbert_video":
            values["clip_len_sec"] = choose_clip_length(
                params.get("num_frames", 1), params.get("fps"), params.get("clip_len_sec")
            )
            values["window_sec"] = tuple(params["window_sec"]) if params.get("window_sec") else None
        if "image_size" not in values or "max_length" not in text:
            raise RecipeError(
                f"{where}: image_size of the eval_media_processor or max_length of the text_processor is missing"
            )
        return cls(media=_MEDIA[kind], max_text_tokens=text["max_length"], **values)

    def read(self, source: bytes | Path, rng: np.random.Generator | None = None, key: str = "") -> Tensor:
        """Return ``(K, T, 3, L, L)`` uint8 RGB: the frames of ``read_clips``, which has the arguments and errors."""
        return self.read_clips(source, rng, key).frames

    def read_clips(
        self,
        source: bytes | Path | DecodedVideo,
        rng: np.random.Generator | None = None,
        key: str = "",
        read: Callable[..., Tensor] = read_frames,
    ) -> Clips:
        """Read a video or an image as the model's evaluation did.

        Args:
            source: an encoded file, its bytes, or decoded frames.
            rng: draws the clips, for ``random`` sampling only; the same ones each time by default.
            key: what to call it in errors.
            read: takes the arguments of ``read_frames``; a ``GuardedReader``'s for videos that nobody vouches for.

        Raises:
            MediaError: if it cannot be read.
        """
        if isinstance(source, DecodedVideo):
            return self._take_clips(source, rng)
        if self.media == "image":
            image = read_image(source, key=key, longest_side=self.image_size)
            return Clips(resize_and_pad(image, self.image_size)[None, None])
        chooser = self._make_chooser(rng)
        frames = read(
            source, chooser, key=key, transform=partial(pad_channels_last, image_size=self.image_size)
        )
        return Clips(frames, _as_pairs(chooser.spans_sec))

    def _make_chooser(self, rng: np.random.Generator | None) -> ClipChooser:
        return ClipChooser(
            self.sampling,
            self.num_clips,
            self.num_frames,
            self.clip_len_sec,
            rng or np.random.default_rng(0),
            self.window_sec,
        )

    def _take_clips(self, video: DecodedVideo, rng: np.random.Generator | None) -> Clips:
        if self.media == "image":
            image = torch.from_numpy(video.frames[0])
            return Clips(resize_and_pad(image.permute(2, 0, 1), self.image_size)[None, None])
        chooser = self._make_chooser(rng)
        times = chooser(video)
        shown = np.clip((times * video.fps + 1e-6).astype(int), 0, len(video.frames) - 1)
        wanted, rows = np.unique(shown, return_inverse=True)
        frames = torch.stack(
            [pad_channels_last(torch.from_numpy(video.frames[i]), self.image_size) for i in wanted]
        )
        return Clips(frames[torch.from_numpy(rows.reshape(shown.shape))], _as_pairs(chooser.spans_sec))


def _as_pairs(spans_sec: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(start), float(end)) for start, end in spans_sec)
