"""Turn the model's output for a batch into prediction records: plain values with the owner's ids, for JSON.

A task's ``write_records`` yields one record per question, or per medium in retrieval; ``docs/predictions.md``
says what each key means. ``inference.predictions`` reads the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.scoring.clips import match_times
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.shapes import PADDING_TEXT
from clipbert_mmf.tasks.items import ItemMaker

#: Answers of a vocabulary that a record lists.
NUM_ANSWERS = 5


@dataclass(frozen=True)
class ItemPrediction:
    """The model's output for one item.

    Attributes:
        item: index in the split.
        readable: whether its medium was readable.
        scores: ``(N, A)`` logits, or ``(N,)`` of options.
        clip_scores: the same for each clip, ``(K, N, A)`` or ``(K, N)``.
        clip_times_sec: ``(K, 2)``, or None for an image.
        text_index: ``(N,)`` rows of the texts, ``PADDING_TEXT`` where a text only fills; None where all
            count.
        targets: flat targets of the N texts.
    """

    item: int
    readable: bool
    scores: Tensor
    clip_scores: Tensor
    clip_times_sec: Tensor | None
    text_index: Tensor | None
    targets: Tensor

    def check(self, name: str) -> None:
        """Raise ``ScoresError`` where a score of a readable medium is not finite.

        Args:
            name: of the item.
        """
        for scores in (self.scores, self.clip_scores) if self.readable else ():
            check_scores(scores, len(scores), lambda row: f"item {self.item}, {name}")

    def describe_clips(self, columns: Tensor) -> list[dict[str, Any]]:
        """Return each clip's time and its row of ``(K, columns)`` scores as plain values."""
        times: Any = [(None, None)] * len(columns)
        if self.clip_times_sec is not None:
            times = match_times(self.clip_times_sec.tolist(), len(columns))
        return [
            {"start_sec": start, "end_sec": end, "scores": row}
            for (start, end), row in zip(times, columns.tolist(), strict=True)
        ]


class SplitAnnotations:
    """The annotations of a split, by row of the record, as prediction records need them.

    Args:
        maker: the split's items.
    """

    def __init__(self, maker: ItemMaker):
        self.maker = maker
        self.answers = sorted(maker.answers, key=lambda answer: maker.answers[answer])

    def iterate_rows(self, prediction: ItemPrediction) -> Iterator[tuple[int, int]]:
        """Yield place among the N texts and row of the record, for the texts that count."""
        index = prediction.text_index
        rows = self.maker.rows(prediction.item).tolist() if index is None else index.tolist()
        return ((n, row) for n, row in enumerate(rows) if row != PADDING_TEXT)

    @cached_property
    def text_ids(self) -> list[str]:
        """The owner's ids by row; where one stands for several texts, its row is added."""
        records = self.maker.records
        ids = [records[row].text_id for row in range(len(records))]
        count = Counter(ids)
        return [text_id if count[text_id] == 1 else f"{text_id}#{row}" for row, text_id in enumerate(ids)]


def split_report(report: Any, options_form_row: bool) -> Iterator[ItemPrediction]:
    """Yield the items of a batch's report: MMF's batch and the model's output in one.

    Args:
        report: has ``scores`` and, from our model, ``clip_scores``.
        options_form_row: whether the scores of an item's texts are one row.

    Raises:
        ValueError: if scores and items are not of the same batch.
    """
    num_items = len(report.item_index)
    scores = report.scores.float().cpu()
    # A model of MMF's own has no clips: its score of the one frame stands for one.
    clips = report.clip_scores.float().cpu() if "clip_scores" in report else scores[:, None]
    if not options_form_row:
        if len(scores) % num_items:
            raise ValueError(
                f"{len(scores)} rows of scores for {num_items} items; predict with "
                f"training.trainer=clipbert, which "
                f"keeps the items of all processes together"
            )
        scores = scores.unflatten(0, (num_items, -1))
        clips = clips.unflatten(0, (num_items, -1)).transpose(1, 2)
    for index, item in enumerate(report.item_index.tolist()):
        yield ItemPrediction(
            item,
            bool(report.readable[index]),
            scores[index],
            clips[index],
            report.clip_times_sec[index].cpu() if "clip_times_sec" in report else None,
            report.text_index[index].reshape(-1).cpu() if "text_index" in report else None,
            report.targets[index].cpu().reshape(-1),
        )


def rank_scores(scores: Tensor) -> Tensor:
    """Return the indices of ``(n,)`` scores, best first.

    Of equal scores the first comes first, as in argmax.
    """
    return scores.sort(descending=True, stable=True)[1]


def write_vocabulary_answers(
    split: SplitAnnotations,
    prediction: ItemPrediction,
    measure_chances: Callable[[Tensor], Tensor],
    read_target: Callable[[TextRecord], Any],
) -> Iterator[dict[str, Any]]:
    """Yield one record per question: the best answers of the vocabulary, and the target.

    Args:
        split: annotations of the split.
        prediction: output for the item.
        measure_chances: probabilities ``(A,)`` from logits ``(A,)``.
        read_target: the correct answer of a record, or the score of each answer.
    """
    for n, row in split.iterate_rows(prediction):
        record = split.maker.records[row]
        best = rank_scores(prediction.scores[n])[:NUM_ANSWERS]
        best = best if prediction.readable else torch.zeros(0, dtype=torch.int64)
        chances = measure_chances(prediction.scores[n])
        answers = [
            {"answer": split.answers[index], "probability": float(chances[index])} for index in best.tolist()
        ]
        target = read_target(record)
        given = answers[0]["answer"] if answers else None
        clips = prediction.clip_scores[:, n][:, best]
        yield {
            "text_id": record.text_id,
            "text": record.text,
            "answer_type": record.answer_type or None,
            "answers": answers,
            "target": target,
            "correct": target.get(given, 0.0) if isinstance(target, dict) else float(given == target),
            "clips": prediction.describe_clips(clips) if prediction.readable else [],
        }
