"""Reads media and texts as a trained model's evaluation did.

The numbers of its run, never typed again (paper section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from clipbert_mmf.configuration import ConfigurationError, parse_config, to_plain
from clipbert_mmf.inference.settings import RecipeError, select
from clipbert_mmf.transforms.tokens import CUTS, TextOptions
from clipbert_mmf.video.clips import (
    MACHINE_OPTIONS,
    MEDIA_OPTIONS,
    ClipOptions,
    ClipReader,
    Clips,
    ImageOptions,
)
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.frame_folders import FrameFolder

#: Registered processor -> settings of its kind of medium.
_PROCESSORS = {f"clipbert_{media}": options for media, options in MEDIA_OPTIONS.items()}
#: Settings that ``preprocessor_config.json`` leaves out: those of a machine, and the one that
#: ``clip_len_sec`` replaces.
_LEFT_OUT = {"fps", *MACHINE_OPTIONS}


@dataclass(frozen=True)
class Preprocessing:
    """From a medium and a text to the model's input.

    Attributes:
        clips: settings of reading a video or an image, as the model was evaluated.
        max_text_tokens: ``[CLS]`` and ``[SEP]`` included.
        text_cut: what is cut where a question and an option together are longer, see ``TextOptions.cut``.
    """

    clips: ClipOptions | ImageOptions
    max_text_tokens: int
    text_cut: str = "question"

    def __post_init__(self) -> None:
        value = self.max_text_tokens
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RecipeError(
                f"preprocessing: max_text_tokens is {value!r}; expected a whole number of at least 1"
            )
        if self.text_cut not in CUTS:
            raise RecipeError(f"preprocessing: text_cut is {self.text_cut!r}; allowed are {', '.join(CUTS)}")

    @property
    def media(self) -> str:
        """``video`` or ``image``: the kind of medium it was evaluated on."""
        return self.clips.media

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Preprocessing:
        """Read what ``to_dict`` wrote; ``where`` is named in errors.

        Raises:
            RecipeError: if a key is missing, unknown or out of range.
        """
        missing = sorted({"media", "image_size", "max_text_tokens"} - set(values))
        if missing:
            raise RecipeError(f"{where} lacks {', '.join(missing)}")
        if values["media"] not in MEDIA_OPTIONS:
            raise RecipeError(
                f"{where}: media is {values['media']!r}; allowed are {', '.join(MEDIA_OPTIONS)}"
            )
        own = ("media", "max_text_tokens", "text_cut")
        given = {key: values[key] for key in values if key not in own}
        options = _parse_options(MEDIA_OPTIONS[values["media"]], given, where)
        return cls(options, values["max_text_tokens"], values.get("text_cut", "question"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = {key: to_plain(value) for key, value in asdict(self.clips).items() if key not in _LEFT_OUT}
        cut = {} if self.text_cut == "question" else {"text_cut": self.text_cut}
        return {"media": self.media, "max_text_tokens": self.max_text_tokens, **cut, **values}

    @classmethod
    def from_dataset(cls, section: Mapping[str, Any], where: str) -> Preprocessing:
        """Take the evaluation's settings from a dataset's section of a run's configuration.

        Raises:
            RecipeError: if it has none, or a processor that is not ours.
        """
        processor = select(section, "processors.eval_media_processor", where)
        kind = processor.get("type")
        if kind not in _PROCESSORS:
            raise RecipeError(
                f"{where}: eval_media_processor.type is {kind!r}; allowed are {', '.join(_PROCESSORS)}"
            )
        place = f"{where}.processors"
        options = _parse_options(
            _PROCESSORS[kind], processor.get("params"), f"{place}.eval_media_processor.params"
        )
        if isinstance(options, ClipOptions):
            options = replace(
                options,
                fps=None,
                clip_len_sec=options.clip_duration_sec,
                backend="auto",
                num_threads=1,
                reader_timeout_sec=None,
            )
        text = select(section, "processors.text_processor.params", where)
        texts = _parse_options(TextOptions, text, f"{place}.text_processor.params")
        options = replace(options, reader_timeout_sec=None, cache_dir=None)
        return cls(options, texts.max_length, texts.cut)

    def with_backend(self, backend: str) -> Preprocessing:
        """Return the same with another decoder of videos.

        Raises:
            ValueError: if it is not known.
        """
        if isinstance(self.clips, ImageOptions) or self.clips.backend == backend:
            return self
        return replace(self, clips=replace(self.clips, backend=backend))

    def make_reader(self, reader_timeout_sec: float | None = None) -> ClipReader:
        """Return a reader of media; close it after use if it has a timeout.

        Args:
            reader_timeout_sec: longest time for one video in a process of its own, for files that nobody
                vouches for; None reads in this process.
        """
        if reader_timeout_sec is None:
            return ClipReader(self.clips)
        return ClipReader(replace(self.clips, reader_timeout_sec=reader_timeout_sec))

    def with_guard(self, reader_timeout_sec: float) -> Preprocessing:
        """Return the same that reads in a process of its own, for files that nobody vouches for."""
        return replace(self, clips=replace(self.clips, reader_timeout_sec=reader_timeout_sec))

    @cached_property
    def _reader(self) -> ClipReader:
        return self.make_reader()

    def read(
        self, source: bytes | Path | FrameFolder, rng: np.random.Generator | None = None, key: str = ""
    ) -> Tensor:
        """Return ``(K, T, 3, L, L)`` uint8 RGB.

        The frames of ``read_clips``, which has the arguments and errors.
        """
        return self.read_clips(source, rng, key).frames

    def read_clips(
        self,
        source: bytes | Path | FrameFolder | DecodedVideo,
        rng: np.random.Generator | None = None,
        key: str = "",
        window_sec: tuple[float, float] | None = None,
    ) -> Clips:
        """Read a video or an image as the model's evaluation did.

        Args:
            source: an encoded file, its bytes, or decoded frames.
            rng: draws the clips, for ``random`` sampling only; the same ones each time by default.
            key: its name in errors.
            window_sec: the part of a video that counts; None for the one of the settings.

        Raises:
            MediaError: if it cannot be read.
        """
        return self._reader.read_source(source, rng, window_sec, key)


def _parse_options(cls: type[Any], values: Mapping[str, Any] | None, where: str) -> Any:
    try:
        return parse_config(cls, values, where)
    except ConfigurationError as error:
        raise RecipeError(str(error)) from error
