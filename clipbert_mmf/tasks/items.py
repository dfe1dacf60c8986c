"""Make the items of a split: which texts go with the frames of a medium (paper sections 3 and 4.1).

Every maker returns the batch shape of ``shapes``: N texts per item, N equal for all items of a split. The
dataset adds the frames. Each task has its own makers in its own file; ``QuestionItems`` is shared by the
tasks that answer questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.annotations.grouping import PackedRecords, SegmentGroups, group_by_segment
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.configuration import parse_config
from clipbert_mmf.shapes import ANSWER_TYPES, PADDING_TEXT, TokenBatch
from clipbert_mmf.transforms.text import simplify_text
from clipbert_mmf.video.sampling import describe_span

#: Encodes a list of N texts. The pre-training items also use its ``is_maskable``, ``mask_id`` and
#: ``vocab_size``; multiple choice its ``join_options`` and ``cuts_question``, where it has them.
TextProcessor = Callable[[list[str]], TokenBatch]
#: Draws before a negative text is looked for by going through all texts instead.
_MAX_DRAWS = 64
#: Texts that are encoded at once.
_BATCH = 1000


@dataclass(frozen=True)
class ItemConfig:
    """Settings of items: keys of ``dataset_config.<dataset>``.

    Attributes:
        texts_per_item: N, texts of a medium, or of a part of it, that are read with one decoding of it.
    """

    texts_per_item: int = 1

    def __post_init__(self) -> None:
        if self.texts_per_item < 1:
            raise ValueError(f"texts_per_item is {self.texts_per_item}; expected at least 1")


@dataclass(frozen=True)
class TextsPerItem:
    """The key ``texts_per_item``.

    Attributes:
        train: N of training items.
        eval: N of evaluation items.
    """

    train: int = 1
    eval: int = 1


def require_share(name: str, value: float) -> None:
    """Raise ``ValueError`` for a probability that is not in 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value:g}; expected 0 to 1")


def index_answer_type(record: TextRecord) -> int:
    """Return the index of a question's type in ``ANSWER_TYPES``; -1 for a question without one."""
    return ANSWER_TYPES.index(record.answer_type) if record.answer_type in ANSWER_TYPES else -1


def require_answer(record: TextRecord) -> str | int:
    """Return the answer of a question.

    Raises:
        ValueError: if the annotations have none.
    """
    if record.answer is None:
        raise ValueError(f"question '{record.text_id}' has no answer in the annotations")
    return record.answer


class ItemMaker:
    """Makes the items of one split: ``len``, the medium of each, and its text and target tensors.

    Args:
        records: all records of the split.
        text_processor: encodes texts.
        config: settings; None for the defaults of ``Config``.
        answers: answer to index, for tasks with an answer vocabulary.
        is_training: whether a medium with too few texts repeats them; in evaluation padding fills the item,
            so that no text counts twice.

    Raises:
        ValueError: for an empty split, or a missing answer vocabulary.
    """

    Config: ClassVar[type[ItemConfig]] = ItemConfig
    needs_answers: ClassVar[bool] = False

    def __init__(
        self,
        records: PackedRecords,
        text_processor: TextProcessor,
        config: ItemConfig | None = None,
        answers: Mapping[str, int] | None = None,
        is_training: bool = False,
    ):
        if not len(records):
            raise ValueError("this split has no records")
        if self.needs_answers and not answers:
            raise ValueError("this task needs an answer vocabulary; set dataset_config.<dataset>.answers")
        self.records = records
        self.text_processor = text_processor
        self.answers: Mapping[str, int] = answers or {}
        self.is_training = is_training
        # A segment's own texts, the last that a negative was drawn for: letters, and tokens where they were needed.
        self._own: tuple[int, set[str], set[tuple[int, ...]] | None] = (-1, set(), None)
        self.groups: SegmentGroups = group_by_segment(records)
        self.texts_per_item = (config or self.Config()).texts_per_item
        # An item is a chunk of at most N consecutive texts of one segment: chunk c of group g.
        chunks = -(-self.groups.counts // self.texts_per_item)
        self._group_of_item = np.repeat(np.arange(len(self.groups)), chunks)
        self._chunk_of_item = np.arange(chunks.sum()) - np.repeat(np.cumsum(chunks) - chunks, chunks)

    def __len__(self) -> int:
        return len(self._group_of_item)

    @property
    def num_media(self) -> int:
        """Number of distinct videos or images."""
        return self.groups.num_media

    def segment_index(self, item: int) -> int:
        """Return the index of the item's segment among ``groups``."""
        return int(self._group_of_item[item])

    def media_key(self, item: int) -> str:
        """Return the key of the item's medium in the store."""
        return self.groups.key(self.segment_index(item))

    def window_sec(self, item: int) -> tuple[float, float] | None:
        """Return the part of the video that the item's annotation is about, or None for all of it."""
        return self.groups.window_sec(self.segment_index(item))

    def describe(self, item: int) -> str:
        """Return the name of an item in messages.

        Its medium, and for a part of it also the times and the row.
        """
        key, window_sec = self.media_key(item), self.window_sec(item)
        if window_sec is None:
            return f"'{key}'"
        record = self.records[int(self.rows(item)[0])]
        return f"'{key}' {describe_span(*window_sec)} (text {record.text_id}: {record.text[:60]!r})"

    def rows(self, item: int) -> np.ndarray:
        """Return the rows of the item's records, at most ``texts_per_item`` of them."""
        rows = self.groups.rows(self.segment_index(item))
        start = int(self._chunk_of_item[item]) * self.texts_per_item
        return rows[start : start + self.texts_per_item]

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the item's tensors: ``input_ids``, ``input_mask``, ``segment_ids``, ``targets`` and the task's own.

        Args:
            item: index of the item.
            rng: generator that every random choice draws from.
        """
        raise NotImplementedError

    def fill(self, item: int) -> tuple[np.ndarray, dict[str, Tensor]]:
        """Return N rows of records for an item, and in evaluation the ``text_index`` that marks padding.

        ``text_index`` is ``(N,)`` int64: the row of each text, ``PADDING_TEXT`` where it only fills.
        """
        rows = self.rows(item)
        if not self.is_training:
            index = torch.full((self.texts_per_item,), PADDING_TEXT, dtype=torch.int64)
            index[: len(rows)] = torch.from_numpy(rows.astype(np.int64))
            return np.resize(rows, self.texts_per_item), {"text_index": index}
        if len(rows) < self.texts_per_item:
            others = self.groups.rows(self.segment_index(item))
            rows = np.resize(np.concatenate([rows, others]), self.texts_per_item)
        return rows, {}

    def encode(self, texts: list[str]) -> dict[str, Tensor]:
        """Return ``input_ids``, ``input_mask`` and ``segment_ids`` ``(N, L)`` of texts."""
        return dict(self.text_processor(texts)._asdict())

    def list_texts(self, row: int) -> list[str]:
        """Return the texts that the model reads of a record, before any cut."""
        return [self.records.text(row)]

    def check_texts(self) -> None:
        """Raise ``ValueError`` for texts that the task cannot tell apart; asked once, before training."""

    def check_negatives(self) -> None:
        """Look for a negative text for every segment, before training draws one.

        Raises:
            ValueError: if every text of the split has the tokens of one of a segment's own.
        """
        # Only a segment whose own texts have all tokens that occur has no other: few texts say that none is.
        most = int(self.groups.counts.max())
        own: list[set[tuple[int, ...]]] = [set() for _ in range(len(self.groups))]
        known: set[tuple[int, ...]] = set()
        for start in range(0, len(self.records), _BATCH):
            rows = range(start, min(start + _BATCH, len(self.records)))
            ids = self.text_processor([self.records.text(row) for row in rows]).input_ids.tolist()
            for row, tokens in zip(rows, map(tuple, ids), strict=True):
                known.add(tokens)
                own[int(self.groups.segment_of_row[row])].add(tokens)
            if len(known) > most:
                return
        for segment, tokens in enumerate(own):
            if len(tokens) == len(known):
                raise self._complain_of_negatives(segment)

    def _complain_of_negatives(self, segment: int) -> ValueError:
        key, window_sec = self.groups.key(segment), self.groups.window_sec(segment)
        part = "" if window_sec is None else f" {describe_span(*window_sec)}"
        text = self.records.text(int(self.groups.rows(segment)[0]))
        return ValueError(
            f"no negative text for '{key}'{part}: every text of the split has the tokens of one of its own, such as "
            f"{text[:60]!r}; matching needs at least two media with texts that differ once they are cut and encoded "
            f"(text_processor.params.max_length and tokenizer decide that)"
        )

    def draw_other_text(self, segment: int, rng: np.random.Generator) -> str:
        """Draw a text of another medium, or another part of it, whose tokens are not those of a text of this segment.

        Raises:
            ValueError: if every text of the split is one of this segment's.
        """
        own = {self.records.text(int(row)) for row in self.groups.rows(segment)}
        total = len(self.records)
        start = 0
        for _ in range(_MAX_DRAWS):
            start = int(rng.integers(total))
            if self._is_other(start, segment, own):
                return self.records.text(start)
        # Texts of an overlapping part may fit this one too: they are taken where there are no others.
        for may_overlap in (False, True):
            for step in range(1, total):
                if self._is_other((start + step) % total, segment, own, may_overlap):
                    return self.records.text((start + step) % total)
        raise self._complain_of_negatives(segment)

    def _is_other(self, row: int, segment: int, own: set[str], may_overlap: bool = False) -> bool:
        other, text = int(self.groups.segment_of_row[row]), self.records.text(row)
        if other == segment or text in own:
            return False
        if not may_overlap and self.groups.overlap(other, segment):
            return False
        # One item draws several texts for one segment.
        if self._own[0] != segment:
            self._own = (segment, {simplify_text(text) for text in own}, None)
        tokens = self.text_processor([text])
        if self._is_whole(tokens) and simplify_text(text) not in self._own[1]:
            return True
        if self._own[2] is None:
            self._own = (*self._own[:2], set(map(tuple, self.text_processor(sorted(own)).input_ids.tolist())))
        return tuple(tokens.input_ids[0].tolist()) not in (self._own[2] or ())

    def _is_whole(self, tokens: TokenBatch) -> bool:
        """Return whether one text is neither cut nor has words that the tokenizer does not know.

        The tokens of such a text are those of another text only where the letters are.
        """
        unknown_id = getattr(self.text_processor, "unknown_id", None)
        ids = tokens.input_ids[0].tolist()
        return unknown_id is not None and unknown_id not in ids and int(tokens.input_mask.sum()) < len(ids)


class QuestionItems(ItemMaker):
    """Questions about a medium, each with the target that ``make_target`` gives it."""

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the questions of an item, their targets, and ``answer_type`` ``(N,)``, -1 where it has no name."""
        rows, padding = self.fill(item)
        records = [self.records[int(row)] for row in rows]
        return {
            **self.encode([record.text for record in records]),
            "targets": torch.stack([self.make_target(record) for record in records]),
            "answer_type": torch.tensor([index_answer_type(record) for record in records]),
            **padding,
        }

    def make_target(self, record: TextRecord) -> Tensor:
        """Return the target of a question."""
        raise NotImplementedError


def read_item_values(
    kind: type[ItemMaker], section: Mapping[str, Any], where: str, is_training: bool
) -> dict[str, Any]:
    """Return the values for ``kind.Config`` that a dataset's section has, ready for ``parse_config``.

    Args:
        kind: the item maker.
        section: ``dataset_config.<dataset>``; its ``texts_per_item`` has one number for training and one for
            evaluation.
        where: dotted key of the section, for messages.
        is_training: which of them to take.

    Raises:
        ConfigurationError: if ``texts_per_item`` is no section of ``train`` and ``eval``.
    """
    values = {key: section[key] for key in kind.Config.__dataclass_fields__ if key in section}
    texts = values.pop("texts_per_item", None)
    if texts is not None:
        both = parse_config(TextsPerItem, texts, f"{where}.texts_per_item")
        values["texts_per_item"] = both.train if is_training else both.eval
    return values
