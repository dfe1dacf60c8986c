"""Multiple choice: one of a question's options is correct (paper section 4.1, TGIF-QA Action and Transition, MSRVTT-MC)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.scoring.chance import guess_option
from clipbert_mmf.tasks.examples import Example, choose_question_examples
from clipbert_mmf.tasks.items import ItemConfig, ItemMaker, TextProcessor, index_answer_type, require_answer
from clipbert_mmf.tasks.judging import Records, judge_answers
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations, rank_scores
from clipbert_mmf.tasks.task import Chance, Task, register_task
from clipbert_mmf.transforms.text import join_question_and_option


class ChoiceItems(ItemMaker):
    """A question with N options, each read as question + " " + option; the target is the correct option's index."""

    def __init__(
        self,
        records: PackedRecords,
        text_processor: TextProcessor,
        config: ItemConfig | None = None,
        answers: Mapping[str, int] | None = None,
        is_training: bool = False,
    ):
        config = replace(config or ItemConfig(), texts_per_item=1)
        super().__init__(records, text_processor, config, answers, is_training)
        self.num_options = len(records[0].options)
        if not self.num_options:
            raise ValueError(f"question '{records[0].text_id}' has no options; a multiple choice needs some")

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the options ``(N, L)``, the target () int64, and the row and the type of the question.

        Raises:
            ValueError: if the question has another number of options than the first of the split.
        """
        row = int(self.rows(item)[0])
        record = self.records[row]
        if len(record.options) != self.num_options:
            raise ValueError(
                f"question '{record.text_id}' has {len(record.options)} options, the first of the file "
                f"{self.num_options}; all must have the same number"
            )
        texts = [join_question_and_option(record.text, option) for option in record.options]
        return {
            **self.encode(texts),
            "targets": torch.tensor(int(require_answer(record))),
            "text_index": torch.tensor(row),
            "answer_type": torch.tensor(index_answer_type(record)),
        }


def write_choices(split: SplitAnnotations, prediction: ItemPrediction) -> Iterator[dict[str, Any]]:
    """Yield one record: all options of the question, best first, and the correct one."""
    ((_, row),) = split.iterate_rows(prediction)
    record = split.maker.records[row]
    best = rank_scores(prediction.scores).tolist() if prediction.readable else []
    chances = prediction.scores.double().softmax(-1)
    answers = [
        {"answer": record.options[index], "option": index, "probability": float(chances[index])}
        for index in best
    ]
    target = int(require_answer(record))
    yield {
        "text_id": record.text_id,
        "text": record.text,
        "answer_type": record.answer_type or None,
        "options": list(record.options),
        "answers": answers,
        "target": record.options[target],
        "target_option": target,
        "right": float(bool(answers) and answers[0]["option"] == target),
        "clips": prediction.describe_clips(prediction.clip_scores[:, best]) if prediction.readable else [],
    }


def choose_examples(records: Records, count: int) -> list[Example]:
    """Return the surest correct and the surest wrong choices, with the option that was chosen to explain."""
    return choose_question_examples(
        records,
        count,
        lambda record: (join_question_and_option(record["text"], record["answers"][0]["answer"]), None),
    )


MULTIPLE_CHOICE = Task(
    "multiple_choice",
    training_items=ChoiceItems,
    evaluation_items=ChoiceItems,
    heads=("choose", "choose_by_match"),
    asks="choose",
    metric="clipbert_answers",
    main_number="accuracy",
    options_form_row=True,
    chance=Chance(
        guess_option, lambda prediction: len(prediction["options"]), lambda record: len(record.options)
    ),
    write_records=write_choices,
    judge_records=judge_answers,
    choose_examples=choose_examples,
)
register_task(MULTIPLE_CHOICE)
