"""The one builder: reads a dataset's configuration, finds its files, and gives MMF the dataset of each split.

A class per row of ``SPECS`` is registered, all of them this one.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from mmf.common.registry import registry
from mmf.datasets.base_dataset_builder import BaseDatasetBuilder
from mmf.utils.configuration import get_mmf_env

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.sources import find_file, load_sources
from clipbert_mmf.annotations.vocabulary import (
    build_vocabulary,
    count_answers,
    read_vocabulary,
    write_vocabulary,
)
from clipbert_mmf.configuration import choose, refuse_unknown_keys, to_plain
from clipbert_mmf.paths import config_dir

# As a module: a worker that unpickles a dataset imports that file first, and through MMF this one in the middle of it.
from clipbert_mmf.plugin import dataset as dataset_file
from clipbert_mmf.plugin.old_names import refuse_old_names
from clipbert_mmf.settings import read_setting
from clipbert_mmf.tasks.datasets import REGISTRATION_LISTENERS, SPECS, DatasetSpec
from clipbert_mmf.tasks.task import TASKS, Task
from clipbert_mmf.video.failures import FailureLog

logger = logging.getLogger(__name__)

#: Keys of a dataset's section beside the settings of its items.
_KEYS = {
    "data_dir",
    "annotations",
    "media",
    "answers",
    "max_failure_share",
    "strict",
    "texts_per_item",
    "processors",
    "batch_size",
    "num_workers",
    "pin_memory",
    "persistent_workers",
    "shuffle",
    "zoo_requirements",
    "task",
    "file",
    "columns",
    "layout",
}
_ANSWER_KEYS = {"file", "num_answers", "min_count"}
#: Vocabularies of this process by what they follow from: MMF's release makes a new builder for every split.
_VOCABULARIES: dict[tuple[str, ...], dict[str, int]] = {}


class ClipBertBuilder(BaseDatasetBuilder):
    """Builds ``ClipBertDataset`` for one row of the table; subclasses only set ``spec``."""

    spec: DatasetSpec

    def __init__(self, *args, **kwargs):
        super().__init__(self.spec.name)

    @classmethod
    def config_path(cls) -> str:
        """Absolute path of the dataset's default configuration."""
        return cls.spec.config or str(config_dir() / "datasets" / cls.spec.name / "defaults.yaml")

    def build(self, config, dataset_type="train", *args, **kwargs):
        """Nothing to download: users hold the files, and ``load`` says what is missing."""

    def update_registry_for_model(self, config):
        """MMF's release calls this on every builder; the model reads its own configuration."""

    def load(self, config, dataset_type="train", *args, **kwargs) -> dataset_file.ClipBertDataset:
        """Return the dataset of one split.

        Raises:
            FileNotFoundError: if ``data_dir``, an annotation file or the media are not there.
            ValueError: for an unknown key, or one that is out of range.
        """
        refuse_old_names(registry.get("config"))
        task = self._task(config)
        self._check_keys(config, task)
        root = self._data_dir(config)
        seed = int(registry.get("config").training.seed or 0)
        location = self._media_location(config, root, dataset_type)
        dataset = dataset_file.ClipBertDataset(self.spec.name, config, dataset_type, location, seed)
        dataset.init_processors()
        records = load_sources(
            self._require(config, "annotations", dataset_type),
            root,
            self.spec,
            where=f"dataset_config.{self.spec.name}.annotations.{dataset_type}",
        )
        maker = task.make_items(
            records,
            dataset.text_processor,
            self._item_section(config),
            f"dataset_config.{self.spec.name}",
            is_training=dataset_type == "train",
            answers=self._answers(config, root, dataset_type, records) if task.needs_answers else None,
        )
        dataset.attach(maker, self._failure_log(config, dataset_type, maker), task)
        self._report_missing(dataset)
        return dataset

    def _task(self, config) -> Task:
        name, own = read_setting(config, "task") or self.spec.task, self.spec.task
        return choose(f"dataset_config.{self.spec.name}.task", name, {own: TASKS[own]} if own else TASKS)

    def _check_keys(self, config, task: Task) -> None:
        refuse_unknown_keys(f"dataset_config.{self.spec.name}", config, _KEYS | task.item_keys)

    def _data_dir(self, config) -> Path:
        root = Path(os.path.expanduser(str(config.data_dir)))
        if not root.is_dir():
            raise FileNotFoundError(
                f"dataset_config.{self.spec.name}.data_dir is '{root}': no such directory. Set it to where the "
                f"annotations and media lie, e.g. dataset_config.{self.spec.name}.data_dir=/data/{self.spec.corpus}"
            )
        return root.resolve()

    def _require(self, config, key: str, dataset_type: str) -> Any:
        section = read_setting(config, key)
        if not section or dataset_type not in section:
            raise ValueError(
                f"dataset_config.{self.spec.name}.{key} has no '{dataset_type}'; MMF always builds train, val and test"
            )
        return section[dataset_type]

    def _media_location(self, config, root: Path, dataset_type: str) -> str | tuple[str, ...]:
        given = self._require(config, "media", dataset_type)
        if isinstance(given, str):
            return self._find_store(given, root, dataset_type)
        return tuple(self._find_store(str(one), root, dataset_type) for one in given)

    def _find_store(self, given: str, root: Path, dataset_type: str) -> str:
        if "://" in given:
            return given
        location = root / os.path.expanduser(given)
        if not location.exists():
            raise FileNotFoundError(
                f"dataset_config.{self.spec.name}.media.{dataset_type} is '{given}': {location} does not exist; "
                f"expected a folder of {self.spec.media}s or an LMDB, below data_dir or absolute"
            )
        return str(location)

    def _item_section(self, config) -> dict[str, Any]:
        section = to_plain(config)
        if section.get("layout") == "mmf":  # MMF's own models read one text at a time
            section["texts_per_item"] = {"train": 1, "eval": 1}
        return section

    def _answers(self, config, root: Path, dataset_type: str, records: PackedRecords) -> dict[str, int]:
        """Return the answer vocabulary, a file's or the training split's; it is saved with the run."""
        settings, where = read_setting(config, "answers") or {}, f"dataset_config.{self.spec.name}"
        settings = {"file": settings} if isinstance(settings, str) else settings
        unknown = sorted(set(settings) - _ANSWER_KEYS)
        if unknown:
            raise ValueError(f"{where}.answers: unknown keys {unknown}; allowed are {sorted(_ANSWER_KEYS)}")
        sources = self._require(config, "annotations", "train")
        key = (self.spec.name, str(root), str(settings), str(sources))
        if key not in _VOCABULARIES:
            file = read_setting(settings, "file")
            if file:
                _VOCABULARIES[key] = read_vocabulary(find_file(root, str(file), f"{where}.answers.file"))
            else:
                if dataset_type != "train":
                    records = load_sources(sources, root, self.spec, where=f"{where}.annotations.train")
                limits = (read_setting(settings, "num_answers"), int(read_setting(settings, "min_count", 1)))
                _VOCABULARIES[key] = build_vocabulary(count_answers(records), *limits)
        answers = _VOCABULARIES[key]
        write_vocabulary(Path(get_mmf_env("save_dir")) / f"answers_{self.spec.name}.json", answers)
        registry.register(f"{self.spec.name}_num_final_outputs", len(answers))
        return answers

    def _failure_log(self, config, dataset_type: str, maker) -> FailureLog:
        training = dataset_type == "train"
        bad_list = Path(get_mmf_env("save_dir")) / f"unreadable_{self.spec.name}.jsonl" if training else None
        failures = FailureLog(
            f"{self.spec.name} ({dataset_type})",
            maker.num_media,
            float(read_setting(config, "max_failure_share", 0.05)),
            bad_list,
        )
        if training:
            known = failures.read_bad_list(maker.groups.find)
            if known:
                logger.warning("%s: %d media of %s are skipped", failures.name, known, bad_list)
        return failures

    def _report_missing(self, dataset: dataset_file.ClipBertDataset) -> None:
        missing = dataset.media_processor.count_missing(
            dataset.media_location,
            (dataset.maker.groups.key(group) for group in range(dataset.maker.num_media)),
        )
        total = dataset.maker.num_media
        message = "%s (%s): %d items, %d %ss, %d of them not in %s"
        values = (
            self.spec.name,
            dataset.dataset_type,
            len(dataset),
            total,
            self.spec.media,
            missing,
            dataset.media_location,
        )
        if missing == total:
            raise FileNotFoundError(
                f"{message % values}: none of the annotated {self.spec.media}s is there. Is "
                f"dataset_config.{self.spec.name}.media the right directory? For example "
                f"'{dataset.maker.groups.key(0)}' was looked for as the stem of a file"
            )
        logger.log(logging.WARNING if missing else logging.INFO, message, *values)


def make_builder(spec: DatasetSpec) -> type[ClipBertBuilder]:
    """Return the builder class of one row, for ``registry.register_builder``."""
    return type(f"{spec.name.title().replace('_', '')}Builder", (ClipBertBuilder,), {"spec": spec})


def register_builder(spec: DatasetSpec) -> None:
    """Make a dataset known to MMF.

    Raises:
        ValueError: if MMF knows another dataset of this name.
    """
    taken = registry.get_builder_class(spec.name)
    if taken is not None and getattr(taken, "spec", None) != spec:
        raise ValueError(f"a dataset '{spec.name}' is registered already, by {taken.__module__}")
    registry.register_builder(spec.name)(taken or make_builder(spec))


for _spec in SPECS.values():
    register_builder(_spec)
REGISTRATION_LISTENERS.append(register_builder)
