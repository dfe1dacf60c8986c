"""The ``Task`` record and the registry of tasks.

A task is one file that makes a ``Task`` and registers it. Training, evaluation, predictions, the report and
the tools read it; no other place lists tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import RECORD_KINDS, TextRecord, tell_kind
from clipbert_mmf.configuration import parse_config
from clipbert_mmf.modules.heads import Ability
from clipbert_mmf.scoring.outcomes import Measured, read_outcomes
from clipbert_mmf.tables import is_same_definition
from clipbert_mmf.tasks.examples import Example
from clipbert_mmf.tasks.items import ItemMaker, TextProcessor, read_item_values
from clipbert_mmf.tasks.judging import Records
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations, split_report
from clipbert_mmf.tasks.record_fields import COMMON, PredictionsError, Shape, check_complete, find_fault
from clipbert_mmf.video.failures import describe_window


@dataclass(frozen=True)
class Chance:
    """The result that needs no video, to compare a model with.

    Attributes:
        guess: the result of guessing, from the truth of each record.
        read_prediction: truth of a prediction record.
        read_annotation: truth of an annotation; None where it is drawn when items are made.
        further: the results of guessing for other numbers of the metric, by name, from the same truths.
    """

    guess: Callable[[Sequence[Any]], float]
    read_prediction: Callable[[dict[str, Any]], Any]
    read_annotation: Callable[[TextRecord], Any] | None = None
    further: Mapping[str, Callable[[Sequence[Any]], float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A kind of question about media, from items to results.

    Attributes:
        name: key in ``TASKS``, ``DatasetSpec.task`` and prediction records.
        training_items: makes the items of a training split.
        evaluation_items: makes the items of another split.
        heads: names of the built-in heads that it is trained with.
        asks: ability that answers its questions once a model is trained, see ``HeadKind.asks``.
        metric: registered key of its metric.
        main_number: number of the metric that results are compared by.
        chance: the main number without looking.
        write_records: yields the prediction records of an item.
        judge_records: computes the numbers of the metric from prediction records; ``scoring.outcomes.Measured``
            gives them intervals too.
        record_fields: fields of its prediction records beside those of all tasks, by name.
        choose_examples: returns up to so many of the best and of the worst predictions; None where a report
            shows none.
        smaller_is_better: direction of the main number.
        further_curves: other numbers of the metric that a report draws.
        reads: kind of annotations that it reads, a key of ``RECORD_KINDS``; empty takes any.
        recipe: name of its recipe for ``video_text_csv``, below ``projects/clipbert/configs/video_text_csv``.
        options_form_row: whether the scores of an item's options are one row, ``(B, N)``.
        answers_are_soft: whether each answer is trained on its own, so that several may be likely.
    """

    name: str
    training_items: type[ItemMaker]
    evaluation_items: type[ItemMaker]
    heads: tuple[str, ...]
    asks: Ability
    metric: str
    main_number: str
    chance: Chance
    write_records: Callable[[SplitAnnotations, ItemPrediction], Iterator[dict[str, Any]]]
    judge_records: Callable[[Records], Mapping[str, float]]
    record_fields: Mapping[str, Shape] = field(default_factory=dict)
    choose_examples: Callable[[Records, int], list[Example]] | None = None
    smaller_is_better: bool = False
    further_curves: tuple[str, ...] = ()
    options_form_row: bool = False
    answers_are_soft: bool = False
    reads: str = ""
    recipe: str = ""

    @property
    def main_metric(self) -> str:
        """Short name of the main number, ``<metric>/<number>``."""
        return f"{self.metric}/{self.main_number}"

    @property
    def curves(self) -> tuple[str, ...]:
        """Numbers of the metric that a report draws against updates."""
        return (self.main_number, *self.further_curves)

    @property
    def needs_answers(self) -> bool:
        """Tell whether items need an answer vocabulary."""
        return self.training_items.needs_answers

    @property
    def item_keys(self) -> set[str]:
        """Keys of ``dataset_config.<dataset>`` that the items read."""
        return {
            field.name
            for kind in (self.training_items, self.evaluation_items)
            for field in fields(kind.Config)
        }

    def make_items(
        self,
        records: PackedRecords,
        text_processor: TextProcessor,
        section: Mapping[str, Any],
        where: str,
        *,
        is_training: bool,
        answers: Mapping[str, int] | None = None,
    ) -> ItemMaker:
        """Make the items of a split.

        Args:
            records: annotations of the split.
            text_processor: encodes texts.
            section: ``dataset_config.<dataset>``; only ``item_keys`` are read.
            where: dotted key of the section, for messages.
            is_training: whether it is the training split.
            answers: answer to index, where ``needs_answers``.

        Raises:
            ConfigurationError: for a setting that is out of range.
            ValueError: for an empty split or a missing vocabulary.
        """
        kind = self.training_items if is_training else self.evaluation_items
        config = parse_config(kind.Config, read_item_values(kind, section, where, is_training), where)
        return kind(records, text_processor, config, answers, is_training)

    def require_kind(self, records: PackedRecords, where: str) -> None:
        """Raise ``ValueError`` for annotations of another kind than the task reads; names the task that reads them."""
        kind = tell_kind(records[0]) if len(records) else self.reads
        if kind == self.reads or (kind == "answers" and self.reads == "counts"):
            return
        if self.reads and kind:
            raise ValueError(
                f"{where}: found {RECORD_KINDS[kind]}; the task '{self.name}' reads {RECORD_KINDS[self.reads]}. "
                f"{name_readers(kind)}"
            )

    def record_predictions(
        self, dataset_name: str, split: SplitAnnotations, report: Any
    ) -> list[dict[str, Any]]:
        """Return the prediction records of a batch's report, plain values for JSON.

        Raises:
            ScoresError: if a score is not finite.
        """
        found: list[dict[str, Any]] = []
        for prediction in split_report(report, self.options_form_row):
            prediction.check(split.maker.describe(prediction.item))
            records = list(self.write_records(split, prediction))
            found.extend(
                {
                    "dataset": dataset_name,
                    "task": self.name,
                    "item": prediction.item,
                    "num_items": len(split.maker),
                    "item_record": number,
                    "num_item_records": len(records),
                    "media_id": split.maker.media_key(prediction.item),
                    "segment_sec": describe_window(split.maker.window_sec(prediction.item)),
                    "readable": prediction.readable,
                    **record,
                }
                for number, record in enumerate(records)
            )
        return found

    def check_records(
        self, records: Records, name: Callable[[int], str] = lambda number: f"record {number}"
    ) -> None:
        """Check that prediction records are whole, and those of a whole split.

        Args:
            records: all records of one dataset.
            name: place of a record, for messages.

        Raises:
            PredictionsError: if a field is missing or of the wrong kind, or a record is missing or there twice.
        """
        shape = {**COMMON, **self.record_fields}
        for number, record in enumerate(records):
            fault = find_fault(record, shape, "")
            if fault:
                raise PredictionsError(f"{name(number)}: {fault}")
        check_complete((name(number), record) for number, record in enumerate(records))

    def judge(self, records: Records) -> Measured:
        """Return the metrics of prediction records by short name, ``<metric>/<number>``.

        Raises:
            PredictionsError: as ``check_records``.
        """
        self.check_records(records)
        numbers = self.judge_records(records)
        outcomes = read_outcomes(numbers)
        return Measured(
            {f"{self.metric}/{name}": rows for name, rows in outcomes.items()},
            {f"{self.metric}/{name}": value for name, value in numbers.items() if name not in outcomes},
        )

    def guess_from_predictions(self, records: Records) -> float:
        """Return the main number that chance gives, from prediction records."""
        return self.chance.guess([self.chance.read_prediction(record) for record in records])

    def guess_from_annotations(self, records: Sequence[TextRecord]) -> float:
        """Return the main number that chance gives, from annotations.

        Raises:
            ValueError: if the truth is not in the annotations.
        """
        if self.chance.read_annotation is None:
            raise ValueError(f"the chance level of '{self.name}' does not follow from annotations")
        return self.guess_all(records)[self.main_metric]

    def guess_all(self, records: Sequence[TextRecord]) -> dict[str, float]:
        """Return the numbers that chance gives by short name; none where the truth is not in the annotations."""
        if self.chance.read_annotation is None:
            return {}
        truths = [self.chance.read_annotation(record) for record in records]
        guesses = {**self.chance.further, self.main_number: self.chance.guess}
        return {f"{self.metric}/{name}": guess(truths) for name, guess in guesses.items()}

    def compare_with_chance(self, value: float, chance: float) -> float | None:
        """Return how many times better than chance a main number is; None where it cannot be said."""
        if not value or not chance:
            return None
        return chance / value if self.smaller_is_better else value / chance


TASKS: dict[str, Task] = {}


def name_readers(kind: str) -> str:
    """Return the sentence that says which tasks and recipes read annotations of a kind."""
    readers = [
        f"task {task.name}"
        + (f" (projects/clipbert/configs/video_text_csv/{task.recipe})" if task.recipe else "")
        for task in TASKS.values()
        if task.reads == kind
    ]
    return f"Such a file is read by {' or '.join(readers)}" if readers else "No task reads such a file"


def register_task(task: Task) -> None:
    """Make a task known by its name.

    Registering the same definition again is allowed, since MMF may import a package again.

    Raises:
        ValueError: if the name is taken by another task.
    """
    known = TASKS.get(task.name)
    if known is not None and not _is_same(known, task):
        raise ValueError(f"a task '{task.name}' is registered already")
    TASKS[task.name] = task


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, (Task, Chance)) and type(first) is type(second):
        return all(
            _is_same(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)
        )
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_is_same(first[key], second[key]) for key in first)
    if callable(first) and callable(second):
        return is_same_definition(first, second)
    return first == second
