"""The one dataset: texts and targets from an item maker, frames from a media processor, one batch shape.

MMF collates its samples into the ``SampleList`` that the model reads.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmf.common.registry import registry
from mmf.common.sample import Sample
from mmf.datasets.base_dataset import BaseDataset

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.inference.user_packages import PickledPackage
from clipbert_mmf.tasks.dataset_config import DatasetConfig
from clipbert_mmf.tasks.items import ItemMaker
from clipbert_mmf.tasks.layouts import LAYOUTS
from clipbert_mmf.tasks.predictions import SplitAnnotations
from clipbert_mmf.tasks.task import TASKS, Task
from clipbert_mmf.transforms.tokens import SURVEY_LIMIT
from clipbert_mmf.video.clips import ClipOptions, ImageOptions, changes_frames
from clipbert_mmf.video.errors import AmbiguousNameError
from clipbert_mmf.video.failures import FailureLog, TooManyFailuresError
from clipbert_mmf.video.stores.names import make_key
from clipbert_mmf.writing import naming

logger = logging.getLogger(__name__)

#: Other media that are tried in place of an unreadable one before training stops.
_MAX_REPLACEMENTS = 20


#: Ambiguous names that an error shows.
_NUM_DOUBTS = 5


#: Missing media that are named in the log.
_NUM_NAMED = 10


class UnreadableMediaError(RuntimeError):
    """Raised for an unreadable medium in ``strict`` evaluation, or where training finds no replacement."""


class ClipBertDataset(BaseDataset):
    """One split of one dataset.

    MMF's ``init_processors`` attaches the processors after construction, and the builder then calls
    ``attach``.

    Args:
        dataset_name: registry key.
        config: the dataset's section of the configuration; MMF reads the processors from it.
        dataset_type: ``train``, ``val`` or ``test``.
        media_location: store of the split's media, or several.
        seed: seed of the run; every random choice follows from (seed, epoch, item).
        parsed: the section as a dataclass.

    Attributes:
        text_processor: encodes texts.
        train_media_processor: reads media of the training split.
        eval_media_processor: reads media of the other splits.
        maker: the items of the split.
        failures: log of unreadable media.
        task_name: name of the task, a key of ``TASKS``.
        annotations: texts and ids for prediction records.
    """

    text_processor: Any
    train_media_processor: Any
    eval_media_processor: Any
    maker: ItemMaker
    failures: FailureLog
    task_name: str
    annotations: SplitAnnotations
    _user_dir: Path | None = None

    def __init__(
        self,
        dataset_name: str,
        config: Any,
        dataset_type: str,
        media_location: str | tuple[str, ...],
        seed: int,
        parsed: DatasetConfig,
    ):
        super().__init__(dataset_name, config, dataset_type)
        self.media_location = media_location
        self.seed = seed
        self.strict = parsed.strict
        self.max_failure_share = parsed.max_failure_share
        self.drop_missing = parsed.drop_missing
        self.arrange = LAYOUTS[parsed.layout]
        self._decoders: set[str] = set()
        # Shared memory, so that workers that live on between epochs see a new epoch too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._salt = zlib.crc32(f"{dataset_name}/{dataset_type}".encode())

    @property
    def is_training(self) -> bool:
        """Tell whether items are drawn anew each epoch and broken media replaced."""
        return self._dataset_type == "train"

    @property
    def media_processor(self) -> Any:
        """The media processor of this split."""
        return self.train_media_processor if self.is_training else self.eval_media_processor

    def __getstate__(self) -> tuple[PickledPackage | None, dict[str, Any]]:
        """Return the attributes, after the user's package that they may be of or name."""
        package = None if self._user_dir is None else PickledPackage(self._user_dir)
        return package, self.__dict__

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        """Take the attributes; a data worker gets here after it has imported the user's package."""
        self.__dict__.update(state[1])

    def attach(self, maker: ItemMaker, task: Task, save_dir: Path, user_dir: Path | None = None) -> None:
        """Give the dataset its items, its task, and the log of unreadable media.

        Args:
            maker: items of the split.
            task: what they are for.
            save_dir: folder of the run, which keeps the list of unreadable training media.
            user_dir: the user's package, absolute, which data workers import too.

        Raises:
            ConfigurationError: if frames of an evaluation would change at random.
        """
        options = getattr(self.media_processor, "options", None)  # a user's processor need not have any
        if (
            not self.is_training
            and isinstance(options, (ClipOptions, ImageOptions))
            and changes_frames(options)
        ):
            raise ConfigurationError(
                f"dataset_config.{self.dataset_name}.processors.eval_media_processor.params changes frames at random "
                "(crop_area, mirror or color_jitter), which is for train_media_processor alone; set "
                "crop_area=1 mirror=0 color_jitter=0"
            )
        self.maker = maker
        self._user_dir = user_dir
        self.task_name = task.name  # workers get a pickled copy, and a task has functions without names
        self.annotations = SplitAnnotations(maker)
        bad_list = save_dir / f"unreadable_{self.dataset_name}.jsonl" if self.is_training else None
        name = f"{self.dataset_name} ({self._dataset_type})"
        self.failures = FailureLog(name, len(maker.groups), self.max_failure_share, bad_list)
        if self.is_training:
            known = self._read_bad_list()
            if known:
                logger.warning("%s: %d media of %s are skipped", name, known, bad_list)

    def _read_bad_list(self) -> int:
        return self.failures.read_bad_list(self.maker.groups.find_segments, self._stamp_failure)

    def _stamp_failure(self, key: str) -> str:
        return self.media_processor.stamp_failure(self.media_location, key)

    def find_media(self, records: PackedRecords, where: str) -> PackedRecords:
        """Return the records with the key in the store in place of each name that the annotations have.

        Args:
            records: annotations of the split.
            where: dotted key of the annotations, for messages.

        Raises:
            ValueError: if names stand for several media; it lists them with the candidates.
            MediaError: if the store cannot be opened.
        """
        doubts: list[str] = []

        def rename(name: str) -> str:
            try:
                found = self.media_processor.resolve(self.media_location, name)
            except AmbiguousNameError as error:
                doubts.append(f"'{name}': {error.reason}")
                return name
            return make_key(name) if found is None else found

        renamed = records.rename_media(rename)
        if doubts:
            more = f" ... and {len(doubts) - _NUM_DOUBTS} more" if len(doubts) > _NUM_DOUBTS else ""
            raise ValueError(
                f"{where}: {len(doubts)} names of media are ambiguous in {self.media_location}: "
                f"{'; '.join(doubts[:_NUM_DOUBTS])}{more}"
            )
        return renamed

    def find_missing(self, records: PackedRecords, media: str, save_dir: Path) -> PackedRecords:
        """Name the media that are not in the store, before anything is read.

        Args:
            records: annotations of the split, with keys of the store.
            media: ``video`` or ``image``, for messages.
            save_dir: folder of the run, which gets a file with all of them.

        Returns:
            The records; with ``drop_missing`` those whose medium is there.

        Raises:
            FileNotFoundError: if none is there.
            TooManyFailuresError: if more training media are missing than ``max_failure_share`` allows.
        """
        keys = records.media_keys
        total = len(keys)
        missing = sorted(
            self.media_processor.list_missing(self.media_location, (keys[n] for n in range(total)))
        )
        section = f"dataset_config.{self.dataset_name}"
        message = (
            f"{self.dataset_name} ({self._dataset_type}): {len(records)} rows, {total} {media}s, {len(missing)} of "
            f"them not in {self.media_location}"
        )
        if len(missing) == total:
            raise FileNotFoundError(
                f"{message}: none of the annotated {media}s is there. Is {section}.media the right directory? "
                f"For example '{keys[0]}' was looked for, as a path below it or the end of one"
            )
        if not missing:
            logger.info("%s", message)
            return records
        listing = save_dir / f"missing_{self.dataset_name}_{self._dataset_type}.txt"
        with naming(listing):
            listing.parent.mkdir(parents=True, exist_ok=True)
            listing.write_text(
                "".join(f"{key}\n" for key in missing), encoding="utf-8", errors="surrogateescape"
            )
        more = " ..." if len(missing) > _NUM_NAMED else ""
        message += f": {', '.join(missing[:_NUM_NAMED])}{more}; all are in {listing}"
        if self.drop_missing:
            logger.warning("%s. Their rows are left out (drop_missing)", message)
            return records.drop_media(missing)
        if self.is_training and len(missing) > self.max_failure_share * total:
            raise TooManyFailuresError(
                f"{message}. That is more than {section}.max_failure_share={self.max_failure_share:g} allows; set "
                f"{section}.drop_missing=true to leave their rows out"
            )
        logger.warning("%s", message)
        return records

    def report_texts(self) -> None:
        """Log in one line how many texts of the split are cut or mostly unknown, and what to set.

        Raises:
            ValueError: for texts that the task cannot tell apart.
        """
        self.maker.check_texts()
        survey = getattr(self.text_processor, "survey", None)
        if survey is None:
            return
        records, maker = self.maker.records, self.maker
        num_read = min(len(records), max(1, SURVEY_LIMIT // len(maker.list_texts(0))))
        rows = np.linspace(0, len(records) - 1, num_read).astype(np.int64)
        if num_read < len(records):
            rows[-1] = records.find_longest()
        texts = [text for row in rows for text in maker.list_texts(int(row))]
        found = survey(texts, len(texts) * len(records) // num_read)
        where = f"dataset_config.{self.dataset_name}.processors.text_processor.params"
        logger.log(
            logging.INFO if found.is_clean else logging.WARNING,
            "%s (%s): %s",
            self.dataset_name,
            self._dataset_type,
            found.describe(where),
        )

    def __len__(self) -> int:
        return len(self.maker)

    def set_epoch(self, epoch: int) -> None:
        """Draw other clips, negatives and masks from now on; a trainer calls this before each epoch.

        Also reads which media other ranks found unreadable, and logs which decoders served, once for each.
        """
        if int(self._epoch) == int(epoch):
            return
        self._epoch.fill_(int(epoch))
        self._read_bad_list()
        served = self.media_processor.take_served()
        if set(served) - self._decoders:  # told again only where another one helps out
            self._decoders |= set(served)
            logger.info("%s (%s): media served by %s", self.dataset_name, self._dataset_type, served)

    def describe_health(self) -> dict[str, int]:
        """Return numbers to log beside the losses: how many of the split's media are unreadable."""
        return {f"{self.dataset_name}/num_unreadable": self.failures.num_broken}

    def item_rng(self, item: int) -> np.random.Generator:
        """Return the item's generator: the same whatever the number of workers or ranks."""
        epoch = int(self._epoch) if self.is_training else 0
        return np.random.default_rng([self.seed & 0xFFFFFFFF, self._salt, epoch, item])

    def __getitem__(self, index: int) -> Sample:
        """Return ``frames`` (K, T, 3, L, L) uint8, the maker's tensors, ``item_index``, ``media_index``, ``readable``.

        In evaluation, videos also have ``clip_times_sec`` (K, 2) float32. With ``layout: mmf``, what
        ``layouts.to_mmf_layout`` returns.
        """
        item = int(index)
        rng = self.item_rng(item)
        if self.is_training:
            item, frames, num_replaced = self._read_or_replace(item, rng)
            readable, times = True, None
        else:
            frames, times, readable = self._read_or_blank(item, rng)
            num_replaced = 0
        fields = {
            "frames": frames,
            **({} if times is None else {"clip_times_sec": times}),
            **self.maker.make(item, rng),
            "item_index": torch.tensor(item),
            "media_index": torch.tensor(self.maker.segment_index(item)),
            "readable": torch.tensor(int(readable)),
            "num_replaced": torch.tensor(num_replaced),
        }
        sample = Sample()
        for name, value in self.arrange(fields).items():
            sample[name] = value
        return sample

    def read_media(self, item: int) -> Sample:
        """Return an item without its texts; an unreadable medium is not replaced.

        ``frames`` (K, T, 3, L, L) uint8, ``item_index``, ``readable``.
        """
        frames, _, readable = self._read_or_blank(item, self.item_rng(item))
        sample = Sample()
        sample.frames, sample.item_index, sample.readable = (
            frames,
            torch.tensor(item),
            torch.tensor(int(readable)),
        )
        return sample

    def _read(self, item: int, rng: np.random.Generator) -> Any:
        return self.media_processor(
            self.media_location, self.maker.media_key(item), rng, window_sec=self.maker.window_sec(item)
        )

    def _read_or_replace(self, item: int, rng: np.random.Generator) -> tuple[int, torch.Tensor, int]:
        for num_replaced in range(_MAX_REPLACEMENTS + 1):
            if not self.failures.is_broken(self.maker.segment_index(item)):
                # A child generator, so that the draws below do not depend on what was read before.
                result = self._read(item, np.random.default_rng(rng.integers(0, 2**63, 2)))
                if result.frames is not None:
                    return item, result.frames, num_replaced
                self._note_failure(item, result)
                self.failures.check()
            else:
                rng.integers(0, 2**63, 2)
            item = int(rng.integers(len(self)))
        raise UnreadableMediaError(
            f"{self.dataset_name}: {_MAX_REPLACEMENTS} media in a row could not be read, the last was "
            f"'{self.maker.media_key(item)}'; check {self.media_location}"
        )

    def _note_failure(self, item: int, result: Any) -> None:
        """Mark the item's segment as unreadable where only that is at fault, else every segment of the medium."""
        segment, key = self.maker.segment_index(item), self.maker.media_key(item)
        stamp = self._stamp_failure(key)
        if result.is_outside:
            name, window_sec = self.maker.describe(item), self.maker.window_sec(item)
            self.failures.add([segment], key, result.failure, name=name, window_sec=window_sec, stamp=stamp)
        else:
            self.failures.add(self.maker.groups.find_segments(key), key, result.failure, stamp=stamp)

    def _read_or_blank(
        self, item: int, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None, bool]:
        result = self._read(item, rng)
        if result.frames is not None:
            return result.frames, result.clip_times_sec, True
        if self.strict and not self.is_training:
            raise UnreadableMediaError(
                f"{self.dataset_name} ({self._dataset_type}), strict: {self.maker.describe(item)}: "
                f"{result.failure}"
            )
        self._note_failure(item, result)
        blank = self.media_processor.blank
        return blank.frames, blank.clip_times_sec, False

    def prepare_batch(self, batch: Any) -> Any:
        """Move the batch to the device; with MMF's own trainers, also pass on the epoch they count."""
        epoch = registry.get("current_epoch", no_warning=True)
        if self.is_training and isinstance(epoch, int):
            self.set_epoch(epoch)
        return super().prepare_batch(batch)

    def format_for_prediction(self, report: Any) -> list[dict[str, Any]]:
        """Return the prediction records of a batch: one per question, or per medium in retrieval."""
        return TASKS[self.task_name].record_predictions(self.dataset_name, self.annotations, report)


class UnusedSplit(BaseDataset):
    """A split that the run does not use and that cannot be built; it says why once it is asked for an item.

    MMF always builds train, val and test.

    Args:
        dataset_name: registry key.
        config: the dataset's section of the configuration.
        dataset_type: ``train``, ``val`` or ``test``.
        reason: the error that building it raised.
    """

    def __init__(self, dataset_name: str, config: Any, dataset_type: str, reason: Exception):
        super().__init__(dataset_name, config, dataset_type)
        self.unusable = f"{dataset_name} ({dataset_type}) cannot be used: {reason}"

    def init_processors(self) -> None:
        """Do nothing: no item is read."""

    def __len__(self) -> int:
        return 1  # MMF's samplers refuse an empty split

    def __getitem__(self, index: int) -> Sample:
        """Raise ``ValueError`` with the reason."""
        raise ValueError(self.unusable)
