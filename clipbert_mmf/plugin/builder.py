"""The one dataset builder: reads a dataset's configuration, finds its files, and gives MMF the dataset of each split.

MMF knows a class per row of ``SPECS``; all of them are this one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmf.common.registry import registry
from mmf.datasets.base_dataset_builder import BaseDatasetBuilder
from mmf.utils.configuration import get_mmf_env
from mmf.utils.general import get_absolute_path

from clipbert_mmf.annotations.vocabulary import write_vocabulary
from clipbert_mmf.configuration import ConfigurationError, to_plain
from clipbert_mmf.paths import config_dir

# As a module: a worker that unpickles a dataset imports that file first, and through MMF this one in the
# middle of it.
from clipbert_mmf.plugin import dataset as dataset_file
from clipbert_mmf.plugin import trained_model
from clipbert_mmf.plugin.old_names import refuse_old_names
from clipbert_mmf.tasks.dataset_config import DatasetConfig, parse_dataset_config
from clipbert_mmf.tasks.dataset_files import (
    MediaIdentity,
    find_answers,
    find_data_dir,
    find_media,
    load_split,
)
from clipbert_mmf.tasks.datasets import REGISTRATION_LISTENERS, SPECS, DatasetSpec
from clipbert_mmf.tasks.task import Task
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.failures import TooManyFailuresError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bound:
    """What a split takes from the model of its run.

    Attributes:
        model: the model.
        section: ``dataset_config.<dataset>`` as it was configured.
        answers: those that the model was trained with; empty where the data say them.
    """

    model: trained_model.RunModel
    section: dict[str, Any]
    answers: tuple[str, ...]


class ClipBertBuilder(BaseDatasetBuilder):
    """Build ``ClipBertDataset`` for one row of the table; subclasses only set ``spec``."""

    spec: DatasetSpec

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(self.spec.name)

    @classmethod
    def config_path(cls) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]  # MMF calls it on the class
        """Return the absolute path of the dataset's default configuration."""
        return cls.spec.config or str(config_dir() / "datasets" / cls.spec.name / "defaults.yaml")

    def build(self, config: Any, dataset_type: str = "train", *args: Any, **kwargs: Any) -> None:
        """Download nothing: users hold the files, and ``load`` says what is missing."""

    def update_registry_for_model(self, config: Any) -> None:
        """Do nothing: MMF's release calls this on every builder, and the model reads its own configuration."""

    def load(
        self, config: Any, dataset_type: str = "train", *args: Any, **kwargs: Any
    ) -> dataset_file.ClipBertDataset | dataset_file.UnusedSplit:
        """Return the dataset of one split; of a split that the run does not use, a stand-in where it cannot be built.

        Raises:
            FileNotFoundError: if ``data_dir``, an annotation file or the media are not there.
            ConfigurationError: for an unknown key, or a value that is not allowed.
        """
        run: Any = registry.get("config")
        refuse_old_names(run)
        spec = self.spec
        parsed, task, section = parse_dataset_config(config, spec)
        root = find_data_dir(parsed.data_dir, spec)
        model = trained_model.find_run_model(run)
        config, answers = model.bind_dataset(spec.name, config, root)
        bound = Bound(model, to_plain(section), answers)
        parsed, task, section = parse_dataset_config(config, spec)
        try:
            return self._load(config, dataset_type, parsed, task, section, root, bound)
        except (ValueError, OSError, MediaError, TooManyFailuresError) as error:
            if isinstance(error, ConfigurationError) or uses_split(run, dataset_type):
                raise
            unused = dataset_file.UnusedSplit(spec.name, config, dataset_type, error)
            logger.info("%s; run_type=%s does not need it", unused.unusable, run.run_type)
            return unused

    def _load(
        self,
        config: Any,
        dataset_type: str,
        parsed: DatasetConfig,
        task: Task,
        section: dict[str, Any],
        root: Path,
        bound: Bound,
    ) -> dataset_file.ClipBertDataset:
        run: Any = registry.get("config")
        spec, where = self.spec, f"dataset_config.{self.spec.name}"
        seed = int(run.training.seed or 0)
        location = find_media(parsed, root, spec, dataset_type)
        dataset = dataset_file.ClipBertDataset(spec.name, config, dataset_type, location, seed, parsed)
        dataset.init_processors()
        text_processor: Any = dataset.text_processor  # pyright: ignore[reportAttributeAccessIssue]  # MMF sets it
        bound.model.require_room(spec.name, text_processor)
        identify = MediaIdentity(parsed, root, spec, dataset.media_processor.resolve)
        records = load_split(parsed, root, spec, task, dataset_type, identify)
        is_training, save_dir = dataset_type == "train", Path(get_mmf_env("save_dir"))
        answers = None
        if task.needs_answers:
            known = records if is_training else None
            kept = bound.answers or bound.model.find_answers(spec.name)
            answers = {answer: index for index, answer in enumerate(kept)} or find_answers(
                parsed, root, spec, known, task, identify
            )
            registry.register(f"{spec.name}_num_final_outputs", len(answers))
            if bound.model.trains:  # a test never writes what a run says about itself
                write_vocabulary(save_dir / f"answers_{spec.name}.json", answers)
        bound.model.describe_dataset(
            spec.name,
            task.name,
            bound.section,
            section.get("processors") or {},
            text_processor,
            answers or {},
        )
        records = dataset.find_media(records, f"{where}.annotations.{dataset_type}")
        records = dataset.find_missing(records, spec.media, save_dir)
        maker = task.make_items(
            records, text_processor, section, where, is_training=is_training, answers=answers
        )
        user_dir = run.env.get("user_dir")
        dataset.attach(maker, task, save_dir, Path(str(get_absolute_path(user_dir))) if user_dir else None)
        dataset.report_texts()
        return dataset


def uses_split(run: Any, split: str) -> bool:
    """Return whether a run's ``run_type`` needs a split; without one, it may need all.

    A run that only trains looks at the validation split where there is one; MMF's own trainers always validate.
    """
    run_type = str(run.run_type) if "run_type" in run else "train_val_test"
    words = {"train": ("train",), "val": ("val",), "test": ("test", "inference", "predict")}
    if "trainer" in run.training and run.training.trainer != "clipbert":
        words["val"] = ("val", "train")
    return any(word in run_type for word in words[split])


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
