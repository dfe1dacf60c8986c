"""Finds the files of a dataset: its directory, its media, its answer vocabulary."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import WrongTableError
from clipbert_mmf.annotations.sources import find_file, load_sources
from clipbert_mmf.annotations.vocabulary import (
    build_vocabulary,
    count_answers,
    read_vocabulary,
)
from clipbert_mmf.tasks.dataset_config import SPLITS, DatasetConfig
from clipbert_mmf.tasks.datasets import DatasetSpec, explain_wrong_table
from clipbert_mmf.tasks.task import Task
from clipbert_mmf.video.errors import AmbiguousNameError, StoreError
from clipbert_mmf.video.stores.names import make_key
from clipbert_mmf.video.stores.tar import find_shards


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
        if "://" not in given and not location.exists() and not find_shards(str(location)):
            raise FileNotFoundError(
                f"dataset_config.{spec.name}.media.{split} is '{given}': {location} does not exist; "
                f"expected a folder of {spec.media}s, an LMDB, or tar shards such as videos/*.tar, below data_dir "
                f"or absolute"
            )
        return given if "://" in given else str(location)

    given = config.media[split]
    return find_store(given) if isinstance(given, str) else tuple(map(find_store, given))


class MediaIdentity:
    """Says which medium a name of the annotations stands for, alike for every split: what divides a file asks it.

    A name is looked up in the stores of the splits in turn.

    Args:
        config: section of the dataset.
        root: data directory.
        spec: row of the table of datasets.
        resolve: key of a name in a store, given its location and the name.
    """

    def __init__(
        self,
        config: DatasetConfig,
        root: Path,
        spec: DatasetSpec,
        resolve: Callable[[str | tuple[str, ...], str], str | None],
    ):
        self._resolve = resolve
        self._locations: list[str | tuple[str, ...]] = []
        for split in SPLITS:
            with contextlib.suppress(FileNotFoundError):  # an error where the split is used
                location = find_media(config, root, spec, split)
                if location not in self._locations:
                    self._locations.append(location)

    def __call__(self, name: str) -> str:
        """Return the medium of a name: its key in the first store that has it.

        Raises:
            AmbiguousNameError: if it stands for several.
        """
        doubt: AmbiguousNameError | None = None
        for location in tuple(self._locations):
            try:
                found = self._resolve(location, name)
            except AmbiguousNameError as error:
                doubt = error
            except StoreError:  # an error where the split is used
                self._locations.remove(location)
            else:
                if found is not None:
                    return found
        if doubt is not None:
            raise doubt
        return make_key(name)


def load_split(
    config: DatasetConfig,
    root: Path,
    spec: DatasetSpec,
    task: Task | None,
    split: str,
    identify: Callable[[str], str] = make_key,
) -> PackedRecords:
    """Read the annotations of a split.

    Args:
        config: section of the dataset.
        root: data directory.
        spec: row of the table of datasets.
        task: task of the dataset; None takes any annotations.
        split: ``train``, ``val`` or ``test``.
        identify: medium that a name stands for.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: for a malformed file, or one of another task; the message names the configuration that reads it.
    """
    place = f"dataset_config.{spec.name}.annotations.{split}"
    try:
        needs = task.reads if task else ""
        records = load_sources(
            config.annotations[split], root, spec.corpus, where=place, needs=needs, identify=identify
        )
    except WrongTableError as error:
        raise ValueError(f"{place}: {explain_wrong_table(error)}") from error
    except AmbiguousNameError as error:
        raise ValueError(f"{place}: {error}") from error
    if task:
        task.require_kind(records, place)
    return records


def find_answers(
    config: DatasetConfig,
    root: Path,
    spec: DatasetSpec,
    records: PackedRecords | None = None,
    task: Task | None = None,
    identify: Callable[[str], str] = make_key,
) -> dict[str, int]:
    """Return the answer vocabulary, a file's or the training split's.

    Args:
        config: section of the dataset.
        root: data directory.
        spec: row of the table of datasets.
        records: records of the training split, where they are read already.
        task: task of the dataset; None takes any annotations.
        identify: medium that a name stands for.

    Returns:
        Answer to index.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if the vocabulary's file is malformed, or no answer is left.
    """
    answers, where = config.answers, f"dataset_config.{spec.name}"
    if answers.file:
        return read_vocabulary(find_file(root, answers.file, f"{where}.answers.file"))
    if records is None:
        try:
            records = load_split(config, root, spec, task, "train", identify)
        except (ValueError, OSError) as error:
            raise ValueError(
                f"{error}; the answer vocabulary is made of the training split. Where it is not there, set "
                f"{where}.answers.file to the answers_{spec.name}.json of the run that was trained"
            ) from error
    return build_vocabulary(count_answers(records), answers.num_answers, answers.min_count)
