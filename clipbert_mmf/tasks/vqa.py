"""Image questions of VQA: every answer of the vocabulary has a score, by how many people gave it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.scoring.chance import guess_soft_answer
from clipbert_mmf.tasks.items import ItemConfig, QuestionItems
from clipbert_mmf.tasks.judging import judge_answers
from clipbert_mmf.tasks.open_ended import choose_examples
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations, write_vocabulary_answers
from clipbert_mmf.tasks.record_fields import QUESTION, SHARE, TEXT
from clipbert_mmf.tasks.task import Chance, Task, register_task


@dataclass(frozen=True)
class VqaConfig(ItemConfig):
    """Settings of items.

    Attributes:
        texts_per_item: questions about an image that are read with one decoding of it.
    """

    texts_per_item: int = 2


class VqaItems(QuestionItems):
    """Questions whose target is a score in 0 to 1 for each answer of the vocabulary."""

    Config: ClassVar[type[ItemConfig]] = VqaConfig
    needs_answers = True

    def make_target(self, record: TextRecord) -> Tensor:
        """Return the score of each answer, ``(A,)`` float32."""
        target = torch.zeros(len(self.answers))
        for answer, score in record.soft_answers:
            if answer in self.answers:
                target[self.answers[answer]] = score
        return target


def write_vqa(split: SplitAnnotations, prediction: ItemPrediction) -> Iterator[dict[str, Any]]:
    """Yield one record per question: the best answers, and the score of each answer by VQA's rule."""
    return write_vocabulary_answers(
        split, prediction, lambda row: row.double().sigmoid(), lambda record: dict(record.soft_answers)
    )


VQA = Task(
    "vqa",
    training_items=VqaItems,
    evaluation_items=VqaItems,
    heads=("classify",),
    asks="answer",
    metric="clipbert_vqa",
    main_number="accuracy",
    chance=Chance(
        guess_soft_answer, lambda prediction: prediction["target"], lambda record: record.soft_answers
    ),
    write_records=write_vqa,
    judge_records=judge_answers,
    record_fields={**QUESTION, "answers": [{"answer": TEXT, "probability": SHARE}], "target": {str: SHARE}},
    choose_examples=choose_examples,
    answers_are_soft=True,
)
register_task(VQA)
