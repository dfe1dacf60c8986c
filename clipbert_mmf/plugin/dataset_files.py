"""Finds the files of a dataset: its directory, its media, its answer vocabulary."""

from __future__ import annotations

import os
from glob import glob
from pathlib import Path

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import WrongTableError
from clipbert_mmf.annotations.sources import find_file, load_sources
from clipbert_mmf.annotations.vocabulary import (
    build_vocabulary,
    count_answers,
    read_vocabulary,
    write_vocabulary,
)
from clipbert_mmf.plugin.dataset_config import DatasetConfig
from clipbert_mmf.tasks.datasets import DatasetSpec, explain_wrong_table
from clipbert_mmf.tasks.task import Task

#: Vocabularies of this process by what they follow from: MMF's release makes a new builder for every split.
_VOCABULARIES: dict[tuple[str, ...], dict[str, int]] = {}


def find_data_dir(data_dir: str, spec: DatasetSpec) -> Path:
    """Return the data directory as an absolute path.

    Raises:
        FileNotFoundError: if there is no such directory.
    """
    root = Path(os.path.expanduser(data_dir))
    if not root.is_dir():
        raise FileNotFoundError(
            f"dataset_config.{spec.name}.data_dir is '{root}': no such directory. Set it to where the "
            f"annotations and "
            f"media lie, e.g. dataset_config.{spec.name}.data_dir=/data/{spec.corpus}"
        )
    return root.resolve()


def find_media(config: DatasetConfig, root: Path, spec: DatasetSpec, split: str) -> str | tuple[str, ...]:
    """Return the location of a split's media, or the locations of several stores.

    Raises:
        FileNotFoundError: if a store is not there.
    """

    def find_store(given: str) -> str:
        location = root / os.path.expanduser(given)
        if "://" not in given and not location.exists() and not glob(str(location)):
            raise FileNotFoundError(
                f"dataset_config.{spec.name}.media.{split} is '{given}': {location} does not exist; "
                f"expected a folder of {spec.media}s, an LMDB, or tar shards such as videos/*.tar, below data_dir "
                f"or absolute"
            )
        return given if "://" in given else str(location)

    given = config.media[split]
    return find_store(given) if isinstance(given, str) else tuple(map(find_store, given))


def load_split(
    config: DatasetConfig, root: Path, spec: DatasetSpec, task: Task | None, split: str
) -> PackedRecords:
    """Read the annotations of a split.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: for a malformed file, or one of another task; the message names the configuration that reads it.
    """
    place = f"dataset_config.{spec.name}.annotations.{split}"
    try:
        needs = task.reads if task else ""
        records = load_sources(config.annotations[split], root, spec.corpus, where=place, needs=needs)
    except WrongTableError as error:
        raise ValueError(f"{place}: {explain_wrong_table(error)}") from error
    if task:
        task.require_kind(records, place)
    return records


def find_answers(
    config: DatasetConfig,
    root: Path,
    spec: DatasetSpec,
    save_dir: Path,
    records: PackedRecords | None = None,
    task: Task | None = None,
) -> dict[str, int]:
    """Return the answer vocabulary, a file's or the training split's, and save it with the run.

    Args:
        config: section of the dataset.
        root: data directory.
        spec: row of the table of datasets.
        save_dir: folder of the run.
        records: records of the training split, where they are read already.
        task: task of the dataset; None takes any annotations.

    Returns:
        Answer to index.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if the vocabulary's file is malformed, or no answer is left.
    """
    answers, where = config.answers, f"dataset_config.{spec.name}"
    key = (spec.name, str(root), str(answers), str(config.annotations["train"]))
    if key not in _VOCABULARIES and answers.file:
        _VOCABULARIES[key] = read_vocabulary(find_file(root, answers.file, f"{where}.answers.file"))
    elif key not in _VOCABULARIES:
        if records is None:
            try:
                records = load_split(config, root, spec, task, "train")
            except (ValueError, OSError) as error:
                raise ValueError(
                    f"{error}; the answer vocabulary is made of the training split. Where it is not there, set "
                    f"{where}.answers.file to the answers_{spec.name}.json of the run that was trained"
                ) from error
        _VOCABULARIES[key] = build_vocabulary(count_answers(records), answers.num_answers, answers.min_count)
    vocabulary = _VOCABULARIES[key]
    write_vocabulary(save_dir / f"answers_{spec.name}.json", vocabulary)
    return vocabulary
