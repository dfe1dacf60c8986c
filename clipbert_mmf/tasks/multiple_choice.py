"""Multiple choice: one of a question's options is correct (paper 4.1: TGIF-QA Action, Transition, MSRVTT-MC)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.scoring.chance import guess_option
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.tasks.examples import Example, choose_question_examples
from clipbert_mmf.tasks.items import ItemConfig, ItemMaker, TextProcessor, index_answer_type, require_answer
from clipbert_mmf.tasks.judging import Records, judge_answers
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations, rank_scores
from clipbert_mmf.tasks.record_fields import QUESTION, SHARE, TEXT, WHOLE
from clipbert_mmf.tasks.task import Chance, Task, register_task
from clipbert_mmf.transforms.text import join_question_and_option
from clipbert_mmf.transforms.tokens import find_equal_tokens

#: Different options that are encoded before training, to find those that are the same tokens.
_CHECKED_OPTIONS = 100_000
#: Options that are encoded at once.
_BATCH = 1000


class ChoiceItems(ItemMaker):
    """A question with options, each read as question + " " + option.

    The target is the correct option's index.

    N is the largest number of options in the split; a question with fewer is filled with its last one, under
    a mask.
    """

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
        self.num_options = 0
        for row in range(len(records)):
            record = records[row]
            if not record.options:
                raise ValueError(f"{_name(record)} has no options; a multiple choice needs some")
            self.num_options = max(self.num_options, len(record.options))
        self._join: Callable[[str, list[str]], list[str]] = getattr(
            text_processor, "join_options", _join_whole
        )
        # Other text processors, and the released way of cutting, are taken as they are.
        self._may_be_equal = not getattr(text_processor, "cuts_question", False)

    def list_texts(self, row: int) -> list[str]:
        """Return each option behind its question."""
        record = self.records[row]
        return _join_whole(record.text, list(record.options))

    def check_texts(self) -> None:
        """Encode every option once.

        Raises:
            ValueError: if two options of a question differ in words and not in tokens; names the question.
        """
        if self._may_be_equal:
            return
        index: dict[str, int] = {}
        for row in range(len(self.records)):
            for option in self.records[row].options:
                index.setdefault(option, len(index))
            if len(index) > _CHECKED_OPTIONS:
                break  # ``make`` looks at every question that it reads
        words = list(index)
        ids: list[Tensor] = []
        for start in range(0, len(words), _BATCH):
            ids.extend(self.text_processor(words[start : start + _BATCH]).input_ids)
        for row in range(len(self.records)):
            record = self.records[row]
            rows = [index[option] for option in record.options if option in index]
            if len(rows) == len(record.options):
                self._require_apart(record, torch.stack([ids[n] for n in rows]))

    def _require_apart(self, record: TextRecord, input_ids: Tensor) -> None:
        tokens = TokenBatch(input_ids, input_ids, input_ids)
        pair = None if self._may_be_equal else find_equal_tokens(tokens, record.options)
        if pair is not None:
            raise ValueError(
                f"{_name(record)}: options '{record.options[pair[0]]}' and '{record.options[pair[1]]}' "
                f"differ in words and "
                f"not in tokens: they are longer than text_processor.params.max_length, or the tokenizer "
                f"does not know "
                f"their words; raise the limit, take another tokenizer, or change the row"
            )

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the options ``(N, L)``, the target () int64, and the row and the type of the question.

        ``option_mask`` is ``(N,)`` int64: 1 on options, 0 on what fills a question with fewer than N.

        Raises:
            ValueError: if two options differ in words and not in tokens.
        """
        row = int(self.rows(item)[0])
        record = self.records[row]
        options = list(record.options)
        tokens = self.encode(self._join(record.text, options))
        self._require_apart(record, tokens["input_ids"])
        mask = torch.zeros(self.num_options, dtype=torch.int64)
        mask[: len(options)] = 1
        filled = torch.arange(self.num_options).clamp(max=len(options) - 1)
        return {
            **{name: value[filled] for name, value in tokens.items()},
            "option_mask": mask,
            "targets": torch.tensor(int(require_answer(record))),
            "text_index": torch.tensor(row),
            "answer_type": torch.tensor(index_answer_type(record)),
        }


def _name(record: TextRecord) -> str:
    return f"question '{record.text_id}' about '{record.media_key}'"


def _join_whole(question: str, options: list[str]) -> list[str]:
    return [join_question_and_option(question, option) for option in options]


def write_choices(split: SplitAnnotations, prediction: ItemPrediction) -> Iterator[dict[str, Any]]:
    """Yield one record: all options of the question, best first, and the correct one."""
    ((_, row),) = split.iterate_rows(prediction)
    record = split.maker.records[row]
    scores = prediction.scores[: len(record.options)]  # what follows only fills
    best = rank_scores(scores).tolist() if prediction.readable else []
    chances = scores.double().softmax(-1)
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
        "correct": float(bool(answers) and answers[0]["option"] == target),
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
    reads="options",
    recipe="choices.yaml",
    metric="clipbert_answers",
    main_number="accuracy",
    options_form_row=True,
    chance=Chance(
        guess_option, lambda prediction: len(prediction["options"]), lambda record: len(record.options)
    ),
    write_records=write_choices,
    judge_records=judge_answers,
    record_fields={
        **QUESTION,
        "answers": [{"answer": TEXT, "option": WHOLE, "probability": SHARE}],
        "options": [TEXT],
        "target_option": WHOLE,
    },
    choose_examples=choose_examples,
)
register_task(MULTIPLE_CHOICE)
