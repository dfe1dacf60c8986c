"""Counting: the answer to a question is a whole number (TGIF-QA Count, beyond the paper)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.scoring.answers import COUNT_RANGE, round_counts
from clipbert_mmf.scoring.chance import guess_answer, guess_count
from clipbert_mmf.scoring.metrics import trace_counts
from clipbert_mmf.scoring.outcomes import Measured
from clipbert_mmf.tasks.examples import Example, choose_question_examples
from clipbert_mmf.tasks.items import QuestionItems, require_answer
from clipbert_mmf.tasks.judging import Records, collect_correct, count_records, list_media
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations
from clipbert_mmf.tasks.record_fields import NUMBER, QUESTION, WHOLE
from clipbert_mmf.tasks.task import Chance, Task, register_task


class CountItems(QuestionItems):
    """Questions whose target is a number."""

    def make_target(self, record: TextRecord) -> Tensor:
        """Return the number, () float32.

        Raises:
            ValueError: if the answer is no number.
        """
        answer = require_answer(record)
        try:
            return torch.tensor(float(answer))
        except ValueError:
            raise ValueError(
                f"question '{record.text_id}' has the answer '{answer}'; expected a number"
            ) from None


def write_counts(split: SplitAnnotations, prediction: ItemPrediction) -> Iterator[dict[str, Any]]:
    """Yield one record per question: the number the model gave, rounded, and the correct one."""
    for n, row in split.iterate_rows(prediction):
        record = split.maker.records[row]
        count, target = int(round_counts(prediction.scores[n])[0]), int(require_answer(record))
        answers = [{"answer": count, "value": float(prediction.scores[n, 0])}] if prediction.readable else []
        yield {
            "text_id": record.text_id,
            "text": record.text,
            "answer_type": None,
            "answers": answers,
            "target": target,
            "correct": float(prediction.readable and count == target),
            "clips": prediction.describe_clips(prediction.clip_scores[:, n]) if prediction.readable else [],
        }


def judge_counts(records: Records) -> Measured:
    """Return accuracy and mean squared error; an unreadable video counts as the largest error."""
    low, high = COUNT_RANGE
    errors = []
    for record in records:
        target = float(record["target"])
        errors.append(
            record["answers"][0]["answer"] - target if record["answers"] else max(target - low, high - target)
        )
    squares = torch.tensor(errors, dtype=torch.float64).square()
    return Measured(
        trace_counts(collect_correct(records), squares, list_media(records)), count_records(records)
    )


def choose_examples(records: Records, count: int) -> list[Example]:
    """Return correct and wrong counts."""
    return choose_question_examples(records, count, lambda record: (record["text"], None))


COUNT = Task(
    "count",
    training_items=CountItems,
    evaluation_items=CountItems,
    heads=("regress",),
    asks="count",
    reads="counts",
    recipe="counts.yaml",
    metric="clipbert_count",
    main_number="mse",
    smaller_is_better=True,
    chance=Chance(
        guess_count,
        lambda prediction: prediction["target"],
        lambda record: float(require_answer(record)),
        further={"accuracy": guess_answer},
    ),
    write_records=write_counts,
    judge_records=judge_counts,
    record_fields={**QUESTION, "answers": [{"answer": WHOLE, "value": NUMBER}], "target": NUMBER},
    choose_examples=choose_examples,
)
register_task(COUNT)
