"""Open-ended questions: the answer is one of a vocabulary (paper section 4.1, MSRVTT-QA and TGIF-QA FrameQA)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.scoring.chance import guess_answer
from clipbert_mmf.shapes import UNKNOWN_ANSWER
from clipbert_mmf.tasks.examples import Example, choose_question_examples
from clipbert_mmf.tasks.items import QuestionItems
from clipbert_mmf.tasks.judging import Records, judge_answers
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations, write_vocabulary_answers
from clipbert_mmf.tasks.record_fields import QUESTION, SHARE, TEXT
from clipbert_mmf.tasks.task import Chance, Task, register_task


class OpenEndedItems(QuestionItems):
    """Questions whose target is the index of the answer; ``UNKNOWN_ANSWER`` where the vocabulary lacks it.

    An unknown answer is never correct and never trained on.
    """

    needs_answers = True

    def make_target(self, record: TextRecord) -> Tensor:
        """Return the index of the answer, () int64."""
        return torch.tensor(self.answers.get(str(record.answer), UNKNOWN_ANSWER))


def write_open_ended(split: SplitAnnotations, prediction: ItemPrediction) -> Iterator[dict[str, Any]]:
    """Yield one record per question: the best answers, and the correct one."""
    return write_vocabulary_answers(
        split, prediction, lambda row: row.double().softmax(-1), lambda record: record.answer
    )


def choose_examples(records: Records, count: int) -> list[Example]:
    """Return the surest correct and the surest wrong answers, with the answer that was given to explain."""
    return choose_question_examples(
        records, count, lambda record: (record["text"], record["answers"][0]["answer"])
    )


OPEN_ENDED = Task(
    "open_ended",
    training_items=OpenEndedItems,
    evaluation_items=OpenEndedItems,
    heads=("classify",),
    asks="answer",
    reads="answers",
    recipe="questions.yaml",
    metric="clipbert_answers",
    main_number="accuracy",
    chance=Chance(guess_answer, lambda prediction: prediction["target"], lambda record: record.answer),
    write_records=write_open_ended,
    judge_records=judge_answers,
    record_fields={**QUESTION, "answers": [{"answer": TEXT, "probability": SHARE}]},
    choose_examples=choose_examples,
)
register_task(OPEN_ENDED)
