"""Saves and restores a run: a kill cannot destroy a checkpoint, and a resumed run goes on exactly.

Checkpoints hold MMF's keys, so both MMFs read them, and theirs load here.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.distributed import get_rank, synchronize
from clipbert_mmf.training.host import Host
from clipbert_mmf.training.options import CheckpointOptions
from clipbert_mmf.training.resuming import Changes, continue_schedule, use_current_groups
from clipbert_mmf.training.run import STATE_VERSION, Run
from clipbert_mmf.training.sharding import gather_model_state, gather_optimizer_state, shard_optimizer_state

logger = logging.getLogger(__name__)

#: Key of a checkpoint that holds ``Run.describe``.
RUN_STATE = "clipbert_run"
_PARTIAL = ".part"


class Checkpointer:
    """Writes the checkpoints of a run, and loads them.

    Args:
        run: is saved and restored.
        host: gives the configuration that a checkpoint keeps.
        folder: the run's ``env.save_dir``.
        prefix: begins the names of ``best.ckpt`` and ``current.ckpt``.
        weights_file: gets the weights alone at the end.
    """

    def __init__(self, run: Run, host: Host, folder: Path, prefix: str, weights_file: Path) -> None:
        self.run, self.host, self.options = run, host, run.options.checkpoint
        self.models_folder, self.weights_file = folder / "models", weights_file
        self.current_file, self.best_file = folder / f"{prefix}current.ckpt", folder / f"{prefix}best.ckpt"
        if get_rank() == 0:
            for place in (folder, self.models_folder):
                for partial in place.glob(f"*.ckpt{_PARTIAL}"):
                    partial.unlink()

    # ---- saving

    def save(self, is_best: bool = False) -> None:
        """Write ``current.ckpt``, ``models/model_<update>.ckpt`` and, for the best state, ``best.ckpt``.

        Rank 0 writes; every process must call it, since each may hold a part.
        """
        state = self._describe()
        if get_rank() != 0:
            return
        self.models_folder.mkdir(parents=True, exist_ok=True)
        numbered = self.models_folder / f"model_{self.run.num_updates}.ckpt"
        save_atomically(state, numbered)
        # One write for both names; the best one is a file of its own, which nothing written later can touch.
        _copy_atomically(numbered, self.current_file, link=True)
        if is_best:
            _copy_atomically(numbered, self.best_file, link=False)
        self._remove_old()
        self.host.log_checkpoint(self.current_file)

    def write_weights(self) -> None:
        """Write the weights alone; every process must call it."""
        state = gather_model_state(self.run.model)
        if get_rank() == 0:
            save_atomically(state, self.weights_file)

    def _describe(self) -> dict[str, Any]:
        run = self.run
        state: dict[str, Any] = {
            "model": gather_model_state(run.model),
            "optimizer": gather_optimizer_state(run.optimizer),
            "current_iteration": run.current_iteration,
            "current_epoch": run.current_epoch,
            "num_updates": run.num_updates,
            "fp16_scaler": run.scaler.state_dict(),
            RUN_STATE: run.describe(),
            **run.early_stopping.describe(),
            **self.host.describe_checkpoint(),
        }
        if run.scheduler is not None:
            scheduler = run.scheduler.state_dict()
            state["lr_scheduler"] = {key: value for key, value in scheduler.items() if is_plain(value)}
        return state

    def _remove_old(self) -> None:
        if (self.options.max_to_keep or 0) < 1:
            return
        found: dict[int, Path] = {}
        for path in self.models_folder.glob("model_*.ckpt"):
            match = re.fullmatch(r"model_(\d+)\.ckpt", path.name)
            if match:
                found[int(match[1])] = path
        for update in sorted(found)[: -(self.options.max_to_keep or 0)]:
            found[update].unlink()

    # ---- loading

    def load(
        self, state: Mapping[str, Any], weights: Mapping[str, Tensor], source: str, weights_only: bool
    ) -> None:
        """Load the weights of a checkpoint, and go on with its run where the options say so.

        Args:
            state: the checkpoint, of this trainer or of MMF's own.
            weights: its weights, under the names that the wrapped model has.
            source: the checkpoint's origin, for messages.
            weights_only: start a new run from them.

        Raises:
            ConfigurationError: for a checkpoint of version 0.1 whose run would go on, or settings with which
                it cannot go on.
        """
        starts_anew = weights_only or self.options.resets_counts
        if not starts_anew:
            check_version(state, source)
        changes = Changes(state.get("config"), self.host.describe_checkpoint().get("config", {}))
        self.run.model.load_state_dict(weights, strict=False)
        self._report_keys(weights, source)
        reset = self.options.reset
        if not weights_only and not reset.all:
            if self.run.options.trains:
                changes.log(source)
                if not reset.optimizer:
                    self._load_optimizer(state, source, changes)
            if not reset.fp16_scaler:
                self._load_scaler(state)
        if not starts_anew:
            self._load_place(state, changes)

    def _report_keys(self, weights: Mapping[str, Tensor], source: str) -> None:
        own, theirs = set(self.run.model.state_dict()), set(weights)
        if own != theirs:
            logger.warning(
                "%s: %d weights of the model are not in it %s, %d of its weights are not used %s",
                source,
                len(own - theirs),
                sorted(own - theirs)[:5],
                len(theirs - own),
                sorted(theirs - own)[:5],
            )

    def _load_optimizer(self, state: Mapping[str, Any], source: str, changes: Changes) -> None:
        if "optimizer" not in state:
            logger.warning("%s holds no state of an optimizer; it starts anew", source)
            return
        changes.refuse_other_state(source)
        stored = state["optimizer"]
        if changes.touch("optimizer", "scheduler", "training", "model_config"):
            stored = use_current_groups(stored, self.run.optimizer)
        try:
            self.run.optimizer.load_state_dict(shard_optimizer_state(self.run.optimizer, stored))
        except ValueError as error:
            told = f"; since then {changes.describe()}" if changes.values else ""
            raise ConfigurationError(
                f"{source}: its optimizer does not fit ({error}){told}; set checkpoint.reset.optimizer=true "
                f"to start a new one"
            ) from error

    def _load_scaler(self, state: Mapping[str, Any]) -> None:
        scaler = state.get("fp16_scaler")
        if scaler and self.run.scaler.is_enabled():
            self.run.scaler.load_state_dict(scaler)

    def _load_place(self, state: Mapping[str, Any], changes: Changes) -> None:
        """Take over the counters of the very state that is loaded, be it the best or the last."""
        run, place = self.run, state.get(RUN_STATE, {})
        run.early_stopping.restore(state, place.get("criterion"), place.get("minimize"))
        run.num_updates = state.get("num_updates", state.get("current_iteration", run.num_updates))
        run.current_iteration = state.get("current_iteration", run.num_updates)
        run.current_epoch = state.get("current_epoch", state.get("best_epoch", run.current_epoch))
        self.host.set_globals(
            num_updates=run.num_updates,
            current_iteration=run.current_iteration,
            current_epoch=run.current_epoch,
        )
        if run.scheduler is not None and run.options.trains:
            groups = state.get("optimizer", {}).get("param_groups", [])
            continue_schedule(
                run.scheduler,
                state.get("lr_scheduler"),
                [group["lr"] for group in groups] if groups else None,
                run.num_updates,
                is_changed=changes.touch("optimizer", "scheduler", "training.lr_scheduler", "model_config"),
            )
        if place:  # MMF's own trainer stores none; the next epoch begins
            run.restore(place)
        logger.info("resuming after update %d, epoch %d", run.num_updates, run.current_epoch)
        if run.options.trains and run.num_updates >= run.data.max_updates:
            logger.warning(
                "nothing is left to train: the run has done %d of %d updates; set training.max_updates higher "
                "to go on",
                run.num_updates,
                run.data.max_updates,
            )

    def restore_best(self) -> None:
        """Load the weights of the best state this run (or the one it resumed) has seen, if it has."""
        synchronize()  # rank 0 may still be writing
        if not (self.run.early_stopping.has_best and self.best_file.exists()):
            return
        state = torch.load(str(self.best_file), map_location=self.run.device)
        self.run.bare_model.load_state_dict(state["model"])
        logger.info("restored the best state, of update %d", state["num_updates"])


def check_version(state: Mapping[str, Any], source: str) -> None:
    """Refuse the checkpoint of a run that clipbert_mmf 0.1 began.

    Raises:
        ConfigurationError: says how to take its weights over.
    """
    version = state.get(RUN_STATE, {}).get("version", STATE_VERSION)
    if version != STATE_VERSION:
        raise ConfigurationError(
            f"{source} is a run of clipbert_mmf 0.1 (version {version} of its state), which this version "
            f"cannot resume: "
            f"start a new run from its weights with checkpoint.resume_file={source} "
            f"checkpoint.resume_pretrained=true "
            "checkpoint.resume=false and another env.save_dir"
        )


def find_stored_seed(options: CheckpointOptions, folder: Path) -> int | None:
    """Return the seed of the run that will be resumed, before data and model are built; None for a new run.

    Raises:
        ConfigurationError: for a run of version 0.1.
    """
    if options.resets_counts:
        return None
    names = ("best.ckpt", "current.ckpt") if options.resume_best else ("current.ckpt", "best.ckpt")
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None or not options.resume:
        found = Path(options.resume_file) if options.resume_file and not options.resume_pretrained else None
    if found is None or not found.is_file():
        return None
    try:
        # Memory-mapped, so that gigabytes of weights are not read for one number.
        state: Any = torch.load(str(found), map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError):  # an older format: not written here
        return None
    if not isinstance(state, dict):
        return None
    checkpoint = cast(dict[str, Any], state)
    check_version(checkpoint, str(found))
    return checkpoint.get(RUN_STATE, {}).get("seed")


def save_atomically(state: Any, path: str | os.PathLike[str]) -> None:
    """Write a file under another name and rename it.

    A process killed meanwhile leaves the old one as it was.
    """
    partial = Path(f"{path}{_PARTIAL}")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _copy_atomically(source: Path, target: Path, link: bool) -> None:
    """Give a file's content a second name; ``link`` shares the bytes where the file system can."""
    partial = Path(f"{target}{_PARTIAL}")
    partial.unlink(missing_ok=True)
    try:
        if not link:
            raise OSError
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)


def is_plain(value: Any) -> bool:
    """Return whether a value is made of numbers, strings, lists and dicts, which any torch loads safely."""
    if isinstance(value, dict):
        entries = cast(dict[Any, Any], value)
        return all(isinstance(key, (str, int)) and is_plain(item) for key, item in entries.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in cast(Sequence[Any], value))
    return value is None or isinstance(value, (int, float, str, bool))
