"""What is written of each prediction: one record per question, or per medium in retrieval, with the owner's ids.

After the model's scores came back to the dataset; ``inference.predictions`` reads the file. ``docs/predictions.md`` says
what each key means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clipbert_mmf.scoring.answers import round_counts
from clipbert_mmf.scoring.clips import match_times
from clipbert_mmf.scoring.ranking import match_margin
from clipbert_mmf.shapes import PADDING_TEXT
from clipbert_mmf.tasks.makers import SampleMaker

#: Answers and texts that a record lists.
NUM_ANSWERS, NUM_TEXTS = 5, 10


@dataclass(frozen=True)
class Predicted:
    """What the model said of one item.

    Attributes:
        item: index in the split.
        readable: whether its medium was.
        scores: ``(N, A)`` logits, or ``(N,)`` of options.
        clip_scores: the same for each clip, ``(K, N, A)`` or ``(K, N)``.
        clip_times_sec: ``(K, 2)``, or None for an image.
        text_index: ``(N,)`` rows of the texts, ``PADDING_TEXT`` where a text only fills; None where all count.
        targets: of the N texts.
    """

    item: int
    readable: bool
    scores: Tensor
    clip_scores: Tensor
    clip_times_sec: Tensor | None
    text_index: Tensor | None
    targets: Tensor

    def clips(self, columns: Tensor) -> list[dict[str, Any]]:
        """Return each clip's time and its ``columns`` ``(K, columns)`` as plain values."""
        times = [(None, None)] * len(columns)
        if self.clip_times_sec is not None:
            times = match_times(self.clip_times_sec.tolist(), len(columns))
        return [
            {"start_sec": start, "end_sec": end, "scores": row}
            for (start, end), row in zip(times, columns.tolist())
        ]


def split_report(report, groups_options: bool) -> Iterator[Predicted]:
    """Yield the items of a batch's report: MMF's batch and the model's output in one.

    Args:
        report: with ``scores`` and, from our model, ``clip_scores``.
        groups_options: whether the scores of an item's texts are one row.

    Raises:
        ValueError: if scores and items are not of the same batch.
    """
    num_items = len(report.item_index)
    scores = report.scores.float().cpu()
    # A model of MMF's own has no clips: what it says of its one frame is one.
    clips = report.clip_scores.float().cpu() if "clip_scores" in report else scores[:, None]
    if not groups_options:
        if len(scores) % num_items:
            raise ValueError(
                f"{len(scores)} rows of scores for {num_items} items; predict with training.trainer=clipbert, which "
                f"keeps the items of all processes together"
            )
        scores = scores.unflatten(0, (num_items, -1))
        clips = clips.unflatten(0, (num_items, -1)).transpose(1, 2)
    for index, item in enumerate(report.item_index.tolist()):
        yield Predicted(
            item,
            bool(report.readable[index]),
            scores[index],
            clips[index],
            report.clip_times_sec[index].cpu() if "clip_times_sec" in report else None,
            report.text_index[index].reshape(-1).cpu() if "text_index" in report else None,
            report.targets[index].cpu().reshape(-1),
        )


class RecordWriter:
    """Writes the records of one split.

    Args:
        dataset_name: registry key.
        task: a key of ``tasks.TASKS``.
        maker: the split's items.
    """

    def __init__(self, dataset_name: str, task: str, maker: SampleMaker):
        self.dataset_name, self.task, self.maker = dataset_name, task, maker
        vocabulary = maker.answers or {}
        self.answers = sorted(vocabulary, key=vocabulary.get)
        self._text_ids: list[str] | None = None

    def write(self, report) -> list[dict[str, Any]]:
        """Return the records of a batch's report, plain values for JSON."""
        return [
            {
                "dataset": self.dataset_name,
                "task": self.task,
                "item": predicted.item,
                "media_id": self.maker.media_key(predicted.item),
                "readable": predicted.readable,
                **record,
            }
            for predicted in split_report(report, self.task == "multiple_choice")
            for record in WRITERS[self.task](self, predicted)
        ]

    def rows(self, predicted: Predicted) -> Iterator[tuple[int, int]]:
        """Yield (position among the N texts, row of the record) of the texts that count."""
        index = predicted.text_index
        rows = self.maker.rows(predicted.item).tolist() if index is None else index.tolist()
        return ((n, row) for n, row in enumerate(rows) if row != PADDING_TEXT)

    @property
    def text_ids(self) -> list[str]:
        """The owner's ids by row; where one stands for several texts, its row is added."""
        if self._text_ids is None:
            records = self.maker.records
            ids = [records[row].text_id for row in range(len(records))]
            count = Counter(ids)
            self._text_ids = [
                text_id if count[text_id] == 1 else f"{text_id}#{row}" for row, text_id in enumerate(ids)
            ]
        return self._text_ids


def _rank(scores: Tensor) -> Tensor:
    # Stable: of equal scores the first comes first, as in argmax.
    return scores.sort(descending=True, stable=True)[1]


def _write_questions(
    writer: RecordWriter, predicted: Predicted, probabilities, read_target
) -> Iterator[dict[str, Any]]:
    for n, row in writer.rows(predicted):
        record = writer.maker.records[row]
        best = _rank(predicted.scores[n])[: NUM_ANSWERS if predicted.readable else 0]
        chances = probabilities(predicted.scores[n])
        answers = [
            {"answer": writer.answers[index], "probability": float(chances[index])} for index in best.tolist()
        ]
        target = read_target(record)
        right = (
            target.get(answers[0]["answer"], 0.0)
            if answers and isinstance(target, dict)
            else float(bool(answers) and answers[0]["answer"] == target)
        )
        yield {
            "text_id": record.text_id,
            "text": record.text,
            "answer_type": record.answer_type or None,
            "answers": answers,
            "target": target,
            "right": right,
            "clips": predicted.clips(predicted.clip_scores[:, n][:, best]) if predicted.readable else [],
        }


def write_open_ended(writer: RecordWriter, predicted: Predicted) -> Iterator[dict[str, Any]]:
    """One record per question: the best answers, and the one right answer."""
    return _write_questions(
        writer, predicted, lambda row: row.double().softmax(-1), lambda record: record.answer
    )


def write_soft_answers(writer: RecordWriter, predicted: Predicted) -> Iterator[dict[str, Any]]:
    """One record per question: the best answers, and what each answer scores by VQA's rule."""
    return _write_questions(
        writer, predicted, lambda row: row.double().sigmoid(), lambda record: dict(record.soft_answers)
    )


def write_counts(writer: RecordWriter, predicted: Predicted) -> Iterator[dict[str, Any]]:
    """One record per question: the number the model gave, rounded, and the right one."""
    for n, row in writer.rows(predicted):
        record = writer.maker.records[row]
        count = int(round_counts(predicted.scores[n])[0])
        answers = [{"answer": count, "value": float(predicted.scores[n, 0])}] if predicted.readable else []
        yield {
            "text_id": record.text_id,
            "text": record.text,
            "answer_type": None,
            "answers": answers,
            "target": int(record.answer),
            "right": float(predicted.readable and count == int(record.answer)),
            "clips": predicted.clips(predicted.clip_scores[:, n]) if predicted.readable else [],
        }


def write_choices(writer: RecordWriter, predicted: Predicted) -> Iterator[dict[str, Any]]:
    """One record per question: all its options, best first, and the right one."""
    row = int(predicted.text_index[0])
    record = writer.maker.records[row]
    best = _rank(predicted.scores) if predicted.readable else predicted.scores.new_zeros(0, dtype=torch.int64)
    chances = predicted.scores.double().softmax(-1)
    answers = [
        {"answer": record.options[index], "option": index, "probability": float(chances[index])}
        for index in best.tolist()
    ]
    target = int(record.answer)
    yield {
        "text_id": record.text_id,
        "text": record.text,
        "answer_type": None,
        "options": list(record.options),
        "answers": answers,
        "target": record.options[target],
        "target_option": target,
        "right": float(bool(answers) and answers[0]["option"] == target),
        "clips": predicted.clips(predicted.clip_scores[:, best]) if predicted.readable else [],
    }


def write_matches(writer: RecordWriter, predicted: Predicted) -> Iterator[dict[str, Any]]:
    """One record per medium: the score of every text, the best texts and the right ones in full."""
    ids = writer.text_ids
    right = predicted.targets.nonzero().flatten().tolist()
    record: dict[str, Any] = {
        "right_text_ids": [ids[row] for row in right],
        "texts": [],
        "scores": {},
        "clips": [],
    }
    if predicted.readable:
        scores = match_margin(predicted.scores)  # what retrieval ranks by
        order = _rank(scores).tolist()
        shown = order[:NUM_TEXTS] + [row for row in right if row not in order[:NUM_TEXTS]]
        ranks = {row: rank for rank, row in enumerate(order, start=1)}
        chances = scores.double().sigmoid()
        record["texts"] = [
            {
                "text_id": ids[row],
                "text": writer.maker.records.text(row),
                "probability": float(chances[row]),
                "rank": ranks[row],
                "right": row in right,
            }
            for row in shown
        ]
        record["scores"] = dict(zip(ids, scores.tolist()))
        record["clips"] = predicted.clips(match_margin(predicted.clip_scores)[:, shown])
    yield record


def write_pretraining(writer: RecordWriter, predicted: Predicted) -> Iterator[dict[str, Any]]:
    """One record per text, which may be another image's: whether the model took it for this one's."""
    for n, row in writer.rows(predicted):
        logit = match_margin(predicted.scores[n])
        target = int(predicted.targets[n])
        yield {
            "text_id": writer.maker.records[row].text_id,
            "match_probability": float(logit.double().sigmoid()),
            "target": target,
            "right": float(predicted.readable and int(predicted.scores[n].argmax()) == target),
            "clips": [],
        }


#: Task -> records of one item.
WRITERS: dict[str, Callable[[RecordWriter, Predicted], Iterator[dict[str, Any]]]] = {
    "retrieval": write_matches,
    "pretraining": write_pretraining,
    "open_ended": write_open_ended,
    "multiple_choice": write_choices,
    "soft_answers": write_soft_answers,
    "count": write_counts,
}
