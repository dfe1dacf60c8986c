"""Describes a dataset: ``dataset_config.<dataset>`` as a frozen dataclass, beside the settings of its task's items."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from clipbert_mmf.annotations.sources import AnnotationSource, parse_sources
from clipbert_mmf.annotations.vocabulary import AnswersConfig
from clipbert_mmf.configuration import (
    ConfigurationError,
    InRange,
    OneOf,
    choose,
    parse_config,
    refuse_unknown_keys,
    to_plain,
)
from clipbert_mmf.tasks.datasets import DatasetSpec
from clipbert_mmf.tasks.layouts import LAYOUTS
from clipbert_mmf.tasks.task import TASKS, Task

#: Names of MMF's splits; MMF always builds all of them.
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetConfig:
    """Everything of ``dataset_config.<dataset>`` but the settings of items, which the task reads.

    Attributes:
        data_dir: directory that annotations and media are searched in.
        annotations: sources by split.
        media: by split, a store or a list of stores: folder (searched recursively), LMDB, tar shards, or
            iopath URL.
        answers: the answer vocabulary of open-ended questions.
        max_failure_share: training stops when more than this share of its media cannot be read.
        strict: evaluation raises at the first unreadable medium instead of counting it as a miss.
        drop_missing: rows whose medium is not in the store are left out at start, in training and in evaluation.
        layout: clipbert, or mmf: one frame, one text, in the shapes of MMF's own models.
        task: name of the task, where the dataset leaves it open.
        processors: MMF's section of processors.
        file: name of a table, which ``annotations`` refer to.
        columns: names of a table's columns, which ``annotations`` refer to.
        batch_size: MMF reads it: batch size of this dataset instead of ``training.batch_size``.
        num_workers: MMF reads it: number of reading processes.
        pin_memory: MMF reads it.
        persistent_workers: MMF reads it.
        shuffle: MMF reads it.
        zoo_requirements: MMF reads it.
    """

    data_dir: str
    annotations: dict[str, tuple[AnnotationSource, ...]]
    media: dict[str, str | tuple[str, ...]]
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    max_failure_share: Annotated[float, InRange(at_least=0, at_most=1)] = 0.05
    strict: bool = False
    drop_missing: bool = False
    layout: Annotated[str, OneOf(LAYOUTS)] = "clipbert"
    task: str | None = None
    processors: Any = None
    file: Any = None
    columns: Any = None
    batch_size: Annotated[int, InRange(at_least=1)] | None = None
    num_workers: Annotated[int, InRange(at_least=0)] | None = None
    pin_memory: Any = None
    persistent_workers: Any = None
    shuffle: Any = None
    zoo_requirements: Any = None


def parse_dataset_config(
    section: Mapping[str, Any], spec: DatasetSpec
) -> tuple[DatasetConfig, Task, dict[str, Any]]:
    """Parse ``dataset_config.<dataset>``.

    Args:
        section: the section, resolved.
        spec: row of the table of datasets.

    Returns:
        The configuration, the task, and the section as plain values, from which the task reads the settings
        of its items.

    Raises:
        ConfigurationError: for an unknown key, a value of another type, or one that is not allowed.
    """
    where, plain = f"dataset_config.{spec.name}", to_plain(section)
    own = {spec.task: TASKS[spec.task]} if spec.task else TASKS
    task = choose(f"{where}.task", plain.get("task") or spec.task, own)
    known = {entry.name for entry in dataclasses.fields(DatasetConfig)}
    refuse_unknown_keys(where, plain, known | task.item_keys)
    values = {key: value for key, value in plain.items() if key in known and value is not None}
    for key in ("annotations", "media"):
        missing = [split for split in SPLITS if split not in (values.get(key) or {})]
        if missing:
            raise ConfigurationError(
                f"{where}.{key} has no '{missing[0]}'; MMF always builds train, val and test"
            )
    listed = {
        split: parse_sources(sources, f"{where}.annotations.{split}")
        for split, sources in values.pop("annotations").items()
    }
    config = parse_config(DatasetConfig, {**values, "annotations": {}}, where)
    if plain.get("layout") == "mmf":  # MMF's own models read one text at a time
        plain["texts_per_item"] = {"train": 1, "eval": 1}
    return dataclasses.replace(config, annotations=listed), task, plain
