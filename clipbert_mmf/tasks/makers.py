"""What one item of each task is: which texts go with its frames, and what is right (paper sections 3 and 4.1).

Comes after ``annotations`` and ``grouping`` gave records grouped by medium; the dataset adds the frames. Every maker
returns the batch shape of ``shapes``: N texts per item, N equal for all items of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.annotations.grouping import MediaGroups, PackedRecords, group_by_media
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.shapes import ANSWER_TYPES, PADDING_TEXT, UNKNOWN_ANSWER, TokenBatch
from clipbert_mmf.transforms.text import join_question_and_option, mask_tokens

#: Draws before a negative caption is looked for by going through all captions instead.
_MAX_DRAWS = 64


class SampleMaker:
    """Items of one split: ``len``, the medium of each, and its text and target tensors.

    Args:
        records: all records of the split.
        text_processor: encodes a list of texts as a ``TokenBatch``; the pre-training maker also uses its
            ``is_maskable``, ``mask_id`` and ``vocab_size``.
        settings: values for keys of ``SETTINGS``.
        answers: answer to index, for tasks that classify.

    Raises:
        ValueError: for an empty split or a setting out of range.
    """

    SETTINGS: dict[str, Any] = {"texts_per_item": 1}
    NEEDS_ANSWERS = False

    def __init__(
        self,
        records: PackedRecords,
        text_processor: Callable[[list[str]], TokenBatch],
        settings: Mapping[str, Any],
        answers: Mapping[str, int] | None = None,
    ):
        if not len(records):
            raise ValueError("this split has no records")
        self.records = records
        self.text_processor = text_processor
        self.settings = {**self.SETTINGS, **{key: settings[key] for key in self.SETTINGS if key in settings}}
        self.answers = answers
        if self.NEEDS_ANSWERS and not answers:
            raise ValueError("this task needs an answer vocabulary; set dataset_config.<dataset>.answers")
        self.groups: MediaGroups = group_by_media(records)
        self.texts_per_item = int(self.settings["texts_per_item"])
        if self.texts_per_item < 1:
            raise ValueError(f"texts_per_item is {self.texts_per_item}; expected at least 1")
        # An item is a chunk of at most N consecutive texts of one medium: chunk c of group g.
        chunks = -(-self.groups.counts // self.texts_per_item)
        self._group_of_item = np.repeat(np.arange(len(self.groups)), chunks)
        self._chunk_of_item = np.arange(chunks.sum()) - np.repeat(np.cumsum(chunks) - chunks, chunks)

    def __len__(self) -> int:
        return len(self._group_of_item)

    @property
    def num_media(self) -> int:
        """Number of distinct videos or images."""
        return len(self.groups)

    def media_index(self, item: int) -> int:
        """Index of the item's medium among ``num_media``."""
        return int(self._group_of_item[item])

    def media_key(self, item: int) -> str:
        """Key of the item's medium in the store."""
        return self.groups.key(self.media_index(item))

    def window_sec(self, item: int) -> tuple[float, float] | None:
        """Part of the video the item's annotation is about, or None for all of it."""
        return self.records[int(self.groups.rows(self.media_index(item))[0])].window_sec

    def rows(self, item: int) -> np.ndarray:
        """Records of the item, at most ``texts_per_item`` of them."""
        rows = self.groups.rows(self.media_index(item))
        start = int(self._chunk_of_item[item]) * self.texts_per_item
        return rows[start : start + self.texts_per_item]

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the item's tensors: ``input_ids``, ``input_mask``, ``segment_ids``, ``targets`` and the task's own."""
        raise NotImplementedError

    def _refill(self, item: int) -> np.ndarray:
        # Training: a medium with too few texts repeats them, so that N stays equal.
        rows = self.rows(item)
        if len(rows) == self.texts_per_item:
            return rows
        return np.resize(
            np.concatenate([rows, self.groups.rows(self.media_index(item))]), self.texts_per_item
        )

    def _pad(self, item: int) -> tuple[np.ndarray, Tensor]:
        # Evaluation: nothing may count twice, so the filling texts carry PADDING_TEXT.
        rows = self.rows(item)
        index = torch.full((self.texts_per_item,), PADDING_TEXT, dtype=torch.int64)
        index[: len(rows)] = torch.from_numpy(rows.astype(np.int64))
        return np.resize(rows, self.texts_per_item), index

    def _other_text(self, media: int, rng: np.random.Generator) -> str:
        """Draw a text of another medium that is not, word for word, a text of this one."""
        own = {self.records.text(int(row)) for row in self.groups.rows(media)}
        total = len(self.records)
        start = 0
        for _ in range(_MAX_DRAWS):
            start = int(rng.integers(total))
            if self._is_other(start, media, own):
                return self.records.text(start)
        for step in range(1, total):
            if self._is_other((start + step) % total, media, own):
                return self.records.text((start + step) % total)
        raise ValueError(
            f"no negative text for '{self.groups.key(media)}': every text of the split is one of its own; "
            f"matching needs at least two media with different texts"
        )

    def _is_other(self, row: int, media: int, own: set[str]) -> bool:
        return int(self.groups.media_of_row[row]) != media and self.records.text(row) not in own


def _as_fields(tokens: TokenBatch) -> dict[str, Tensor]:
    return dict(tokens._asdict())


def _index_answer_type(record: TextRecord) -> int:
    """Return the index into ``ANSWER_TYPES``; -1 for a question without a type."""
    return ANSWER_TYPES.index(record.answer_type) if record.answer_type in ANSWER_TYPES else -1


class MatchTraining(SampleMaker):
    """One caption of a video and ``negatives_per_positive`` captions of other videos; target 1 is the match."""

    SETTINGS = {"texts_per_item": 1, "negatives_per_positive": 1}

    def make(self, item, rng):
        texts, targets = [], []
        for row in self._refill(item):
            texts.append(self.records.text(int(row)))
            targets.append(1)
            for _ in range(int(self.settings["negatives_per_positive"])):
                texts.append(self._other_text(self.media_index(item), rng))
                targets.append(0)
        return {**_as_fields(self.text_processor(texts)), "targets": torch.tensor(targets)}


class MatchEvaluation(SampleMaker):
    """One video against every text of the split, so that a video is decoded and encoded once."""

    def __init__(self, records, text_processor, settings, answers=None):
        super().__init__(records, text_processor, {**settings, "texts_per_item": len(records)}, answers)
        # Encoded once, before workers start: they share these pages.
        self._tokens = text_processor([records.text(row) for row in range(len(records))])
        self._media_of_text = torch.from_numpy(self.groups.media_of_row.astype(np.int64))

    @property
    def tokens(self) -> TokenBatch:
        """All texts of the split, ``(N, L)``."""
        return self._tokens

    def match_matrix(self) -> Tensor:
        """Return ``(items, N)`` int64: the targets of all items."""
        return (torch.arange(len(self))[:, None] == self._media_of_text).to(torch.int64)

    def make(self, item, rng):
        targets = (self._media_of_text == self.media_index(item)).to(torch.int64)
        return {**_as_fields(self._tokens), "targets": targets}


class Pretraining(SampleMaker):
    """Captions of an image, each swapped for another image's with probability 0.5, then masked (MLM + ITM)."""

    SETTINGS = {"texts_per_item": 2, "swap_probability": 0.5, "mlm_probability": 0.15}

    def make(self, item, rng):
        return self._make(item, self._refill(item), rng)

    def _make(self, item: int, rows: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        matches = (rng.random(len(rows)) >= float(self.settings["swap_probability"])).astype(np.int64)
        media = self.media_index(item)
        texts = [
            self.records.text(int(row)) if match else self._other_text(media, rng)
            for row, match in zip(rows, matches)
        ]
        tokens = self.text_processor(texts)
        hidden, labels = mask_tokens(
            tokens.input_ids,
            self.text_processor.is_maskable(tokens),
            rng,
            mask_id=self.text_processor.mask_id,
            vocab_size=self.text_processor.vocab_size,
            probability=float(self.settings["mlm_probability"]),
        )
        return {
            **_as_fields(tokens._replace(input_ids=hidden)),
            "lm_label_ids": labels,
            "targets": torch.from_numpy(matches),
        }


class PretrainingEvaluation(Pretraining):
    """As ``Pretraining``, but no text counts twice."""

    def make(self, item, rng):
        rows, text_index = self._pad(item)
        return {**self._make(item, rows, rng), "text_index": text_index}


class OpenEnded(SampleMaker):
    """A question whose answer is one of a vocabulary; others are ``UNKNOWN_ANSWER``: never right, never trained on."""

    NEEDS_ANSWERS = True

    def make(self, item, rng):
        return self._make(self._refill(item))

    def _make(self, rows: Sequence[int]) -> dict[str, Tensor]:
        records = [self.records[int(row)] for row in rows]
        tokens = self.text_processor([record.text for record in records])
        types = [_index_answer_type(record) for record in records]
        return {
            **_as_fields(tokens),
            "targets": torch.stack([self._target(record) for record in records]),
            "answer_type": torch.tensor(types),
        }

    def _target(self, record) -> Tensor:
        return torch.tensor(self.answers.get(record.answer, UNKNOWN_ANSWER))


class OpenEndedEvaluation(OpenEnded):
    """As ``OpenEnded``, with several questions per decoded video and none counted twice."""

    def make(self, item, rng):
        rows, text_index = self._pad(item)
        return {**self._make(rows), "text_index": text_index}


class SoftAnswers(OpenEnded):
    """A question with a score in [0, 1] for each answer of the vocabulary (VQA)."""

    SETTINGS = {"texts_per_item": 2}

    def _target(self, record):
        target = torch.zeros(len(self.answers))
        for answer, score in record.soft_answers:
            if answer in self.answers:
                target[self.answers[answer]] = score
        return target


class SoftAnswersEvaluation(SoftAnswers, OpenEndedEvaluation):
    """As ``SoftAnswers``, none counted twice."""


class Count(OpenEnded):
    """A question whose answer is a number (TGIF Count)."""

    NEEDS_ANSWERS = False

    def _target(self, record):
        try:
            return torch.tensor(float(record.answer))
        except ValueError:
            raise ValueError(
                f"question '{record.text_id}' has the answer '{record.answer}'; expected a number"
            ) from None


class CountEvaluation(Count, OpenEndedEvaluation):
    """As ``Count``, none counted twice."""


class MultipleChoice(SampleMaker):
    """A question with N options, each read as question + " " + option; the target is the right option's index."""

    def __init__(self, records, text_processor, settings, answers=None):
        super().__init__(records, text_processor, {**settings, "texts_per_item": 1}, answers)
        self.num_options = len(records[0].options)
        if not self.num_options:
            raise ValueError(f"question '{records[0].text_id}' has no options; a multiple choice needs some")

    def make(self, item, rng):
        record = self.records[int(self.rows(item)[0])]
        if len(record.options) != self.num_options:
            raise ValueError(
                f"question '{record.text_id}' has {len(record.options)} options, the first of the file "
                f"{self.num_options}; all must have the same number"
            )
        tokens = self.text_processor(
            [join_question_and_option(record.text, option) for option in record.options]
        )
        return {
            **_as_fields(tokens),
            "targets": torch.tensor(int(record.answer)),
            "text_index": torch.tensor(int(self.rows(item)[0])),
            "answer_type": torch.tensor(_index_answer_type(record)),
        }


#: Task -> (maker for training, maker for evaluation).
TASKS: dict[str, tuple[type[SampleMaker], type[SampleMaker]]] = {
    "retrieval": (MatchTraining, MatchEvaluation),
    "pretraining": (Pretraining, PretrainingEvaluation),
    "open_ended": (OpenEnded, OpenEndedEvaluation),
    "multiple_choice": (MultipleChoice, MultipleChoice),
    "soft_answers": (SoftAnswers, SoftAnswersEvaluation),
    "count": (Count, CountEvaluation),
}
