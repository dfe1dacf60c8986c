"""Registers MMF's processors of ClipBERT: videos and images to frames, texts to tokens.

Each reads its ``params`` once into a frozen dataclass; the work is done by ``video.clips`` and
``transforms.tokens``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from mmf.common.registry import registry
from mmf.datasets.processors.processors import BaseProcessor
from torch import Tensor

from clipbert_mmf.configuration import parse_config
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.transforms.tokens import (
    CUTS,
    TextOptions,
    TextSurvey,
    count_words,
    encode_texts,
    join_options,
    load_tokenizer,
    survey_texts,
)
from clipbert_mmf.video.clips import ClipOptions, ClipReader, Clips, ImageOptions
from clipbert_mmf.video.errors import MediaError, OutsideVideoError
from clipbert_mmf.video.served import ServedTally


@dataclass(frozen=True)
class MediaResult:
    """Frames of one medium, or the reason why there are none.

    Attributes:
        frames: ``(K, T, 3, L, L)`` uint8 RGB, or None when the medium could not be read.
        failure: the reason in one line, empty when ``frames`` is there.
        clip_times_sec: ``(K, 2)`` float32, start and end of each clip; None for an image or where nothing was
            read.
        is_outside: whether the part that was asked for lies outside the medium, which itself may be sound.
    """

    frames: Tensor | None
    failure: str = ""
    clip_times_sec: Tensor | None = None
    is_outside: bool = False


class MediaProcessor(BaseProcessor):
    """Read media through a ``ClipReader``; a ``MediaError`` becomes a ``MediaResult`` without frames."""

    NAME: str
    OPTIONS: type[ClipOptions] | type[ImageOptions]

    def __init__(self, config: Mapping[str, Any] | None, *args: Any, **kwargs: Any):
        self.options = parse_config(self.OPTIONS, config, f"{self.NAME}.params")
        self._tally = ServedTally()
        self.reader = ClipReader(self.options, self._tally)

    @property
    def frames_shape(self) -> tuple[int, ...]:
        """``(K, T, 3, L, L)`` of every result."""
        return self.reader.frames_shape

    @property
    def blank(self) -> MediaResult:
        """The stand-in for an unreadable medium: black frames, clips of no length."""
        return _to_result(self.reader.make_blank())

    def __call__(
        self,
        location: str | tuple[str, ...],
        key: str,
        rng: np.random.Generator,
        window_sec: tuple[float, float] | None = None,
    ) -> MediaResult:
        """Read one medium; see ``ClipReader.read`` for the arguments."""
        try:
            return _to_result(self.reader.read(location, key, rng, window_sec))
        except MediaError as error:
            return MediaResult(None, str(error), is_outside=isinstance(error, OutsideVideoError))

    def resolve(self, location: str | tuple[str, ...], name: str) -> str | None:
        """Return the key of the medium that a name stands for; see ``ClipReader.resolve``."""
        return self.reader.resolve(location, name)

    def count_missing(self, location: str | tuple[str, ...], keys: Iterable[str]) -> int:
        """Return how many of the keys the store lacks; see ``ClipReader.count_missing``."""
        return self.reader.count_missing(location, keys)

    def list_missing(self, location: str | tuple[str, ...], keys: Iterable[str]) -> list[str]:
        """Return the keys that the store lacks; see ``ClipReader.list_missing``."""
        return self.reader.list_missing(location, keys)

    def stamp(self, location: str | tuple[str, ...], keys: Iterable[str]) -> list[str]:
        """Return what tells whether the media changed; see ``ClipReader.stamp``."""
        return self.reader.stamp(location, keys)

    def stamp_failure(self, location: str | tuple[str, ...], key: str) -> str:
        """Return what a failure to read the medium depends on: its state, the decoder and the time limit."""
        return f"{self.reader.stamp(location, [key])[0]}; {self.reader.describe_decoder()}"

    def take_served(self) -> dict[str, int]:
        """Return how many videos each backend served since the last call, over all workers."""
        return self._tally.take()

    def describe(self) -> list[Any]:
        """Return plain values that say how media are read, for what is kept between runs."""
        return [self.NAME, asdict(self.options)]


def _to_result(clips: Clips) -> MediaResult:
    return MediaResult(
        clips.frames, clip_times_sec=torch.tensor(clips.times_sec) if clips.times_sec else None
    )


@registry.register_processor("clipbert_video")
class ClipBertVideoProcessor(MediaProcessor):
    """Read a video as K clips of T frames; ``ClipOptions`` has the keys of ``params``."""

    NAME = "clipbert_video"
    OPTIONS = ClipOptions


@registry.register_processor("clipbert_image")
class ClipBertImageProcessor(MediaProcessor):
    """Read an image as one clip of one frame; ``ImageOptions`` has the keys of ``params``."""

    NAME = "clipbert_image"
    OPTIONS = ImageOptions


@registry.register_processor("clipbert_text")
class ClipBertTextProcessor(BaseProcessor):
    """Turn a list of texts into a ``TokenBatch``; ``TextOptions`` has the keys of ``params``."""

    NAME = "clipbert_text"
    OPTIONS = TextOptions

    def __init__(self, config: Mapping[str, Any] | None, *args: Any, **kwargs: Any):
        self.options = parse_config(TextOptions, config, f"{self.NAME}.params")
        # Any: transformers types its special ids too widely.
        self.tokenizer: Any = load_tokenizer(str(self.options.tokenizer), "text_processor.params.tokenizer")

    @property
    def vocab_size(self) -> int:
        """Number of ids the tokenizer can emit."""
        return len(self.tokenizer)

    @property
    def num_ids(self) -> int:
        """Rows that a table of words needs: one more than the largest id."""
        return count_words(self.tokenizer)

    @property
    def mask_id(self) -> int:
        """Id of ``[MASK]``."""
        return self.tokenizer.mask_token_id

    @property
    def unknown_id(self) -> int | None:
        """Id of ``[UNK]``; None where the tokenizer has none."""
        return self.tokenizer.unk_token_id

    @property
    def cuts_question(self) -> bool:
        """Whether an option stays whole where it is too long together with its question."""
        return CUTS[self.options.cut]

    def __call__(self, texts: list[str]) -> TokenBatch:
        """Encode ``N`` texts; longer ones are cut so that ``[SEP]`` stays last."""
        return encode_texts(self.tokenizer, texts, self.options.max_length)

    def join_options(self, question: str, options: list[str]) -> list[str]:
        """Return each option as a text behind its question; see ``tokens.join_options``."""
        return join_options(self.tokenizer, question, options, self.options.max_length, self.options.cut)

    def survey(self, texts: Sequence[str], num_texts: int) -> TextSurvey:
        """Count the texts that are cut or mostly unknown; see ``tokens.survey_texts``."""
        return survey_texts(self.tokenizer, texts, self.options.max_length, num_texts)

    def is_maskable(self, tokens: TokenBatch) -> Tensor:
        """Return ``(N, L)`` bool: True on word pieces, False on special tokens and padding."""
        special = torch.tensor(sorted(self.tokenizer.all_special_ids))
        return (tokens.input_mask == 1) & ~torch.isin(tokens.input_ids, special)
