"""Checkpoints that a kill cannot destroy and from which a run goes on exactly; both MMFs read them, and theirs load.

Extends MMF's own ``Checkpoint``, which finds files and honours ``checkpoint.*``. Used by the registered trainer, which
owns what is stored, and by ``early_stopping``.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from mmf.common.registry import registry
from mmf.utils.checkpoint import Checkpoint
from mmf.utils.configuration import get_mmf_env
from omegaconf import OmegaConf
from torch.optim.lr_scheduler import LambdaLR

from clipbert_mmf.settings import read_setting
from clipbert_mmf.training.distributed import get_rank, synchronize, unwrap_model
from clipbert_mmf.training.sharding import (
    is_fully_sharded,
    part_of_optimizer_state,
    whole_model_state,
    whole_optimizer_state,
)

logger = logging.getLogger(__name__)

#: Key of a checkpoint under which the trainer's own state lies (``RunCheckpoint.run_state``).
RUN_STATE = "clipbert_run"
_PARTIAL = ".part"


def save_atomically(state: Any, path: str | os.PathLike) -> None:
    """Write a file under another name and rename it: a process killed meanwhile leaves the old one as it was."""
    partial = Path(f"{path}{_PARTIAL}")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _take_file(source: Path, target: Path, link: bool) -> None:
    """Put a file's content under a second name, atomically."""
    partial = Path(f"{target}{_PARTIAL}")
    partial.unlink(missing_ok=True)
    try:
        if not link:
            raise OSError
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)


def peek_seed(config) -> int | None:
    """Return the seed of the run that will be resumed, before data and model are built; None for a new run."""
    options = config.checkpoint
    if options.reset.all or options.reset.counts:
        return None
    names = ("best.ckpt", "current.ckpt") if options.resume_best else ("current.ckpt", "best.ckpt")
    candidates = [Path(get_mmf_env("save_dir")) / name for name in names]
    found = next((path for path in candidates if path.exists()), None) if options.resume else None
    if found is None and options.resume_file and not options.resume_pretrained:
        found = Path(options.resume_file)
    if found is None or not found.is_file():
        return None
    try:
        # Memory-mapped, so that gigabytes of weights are not read for one number.
        state = torch.load(str(found), map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError):  # an older format: not written here
        return None
    return state.get(RUN_STATE, {}).get("seed") if isinstance(state, dict) else None


def is_plain(value: Any) -> bool:
    """Tell whether a value is made of numbers, strings, lists and dicts, which any torch loads safely."""
    if isinstance(value, dict):
        return all(isinstance(key, (str, int)) and is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (int, float, str, bool))


class RunCheckpoint(Checkpoint):
    """MMF's checkpoint, written atomically, with the trainer's place in the run.

    Args:
        trainer: has ``model``, ``optimizer``, ``scheduler``, ``scaler``, ``early_stopping``, the counters, and
            ``run_state()`` / ``restore_run_state(state)``.
    """

    def __init__(self, trainer):
        super().__init__(trainer)
        self.weights_only = False
        self.max_to_keep = read_setting(self.config.checkpoint, "max_to_keep", None) or 0
        if get_rank() == 0:
            for folder in (Path(self.ckpt_foldername), Path(self.models_foldername)):
                for partial in folder.glob(f"*.ckpt{_PARTIAL}"):
                    partial.unlink()

    def save_config(self):
        """Write ``config.yaml``, from one process."""
        if get_rank() == 0:
            super().save_config()

    @property
    def resets_counts(self) -> bool:
        """Whether a loaded checkpoint starts a new run, so that its counters and its best value mean nothing."""
        reset = self.config.checkpoint.reset
        return bool(self.weights_only or reset.all or reset.counts)

    # ---- saving

    def save(self, update, iteration=None, update_best=False):
        """Write ``current.ckpt``, ``models/model_<update>.ckpt`` and, if it is, ``best.ckpt``.

        The first process writes; every process must call it, since each may hold a part.
        """
        state = self._state(update, iteration or update)
        if get_rank() != 0:
            return
        numbered = Path(self.models_foldername) / f"model_{update}.ckpt"
        save_atomically(state, numbered)
        # One write for both names; the best one is a file of its own, which nothing written later can touch.
        _take_file(numbered, self._path("current.ckpt"), link=True)
        if update_best:
            _take_file(numbered, self._path("best.ckpt"), link=False)
        self._remove_old()

    def _path(self, name: str) -> Path:
        return Path(self.ckpt_foldername) / f"{self.ckpt_prefix}{name}"

    def _state(self, update: int, iteration: int) -> dict[str, Any]:
        trainer, early_stopping = self.trainer, self.trainer.early_stopping
        state = {
            "model": whole_model_state(trainer.model),
            "optimizer": whole_optimizer_state(trainer.optimizer),
            "best_iteration": early_stopping.best_monitored_iteration,
            "current_iteration": iteration,
            "current_epoch": trainer.current_epoch,
            "num_updates": update,
            "best_update": early_stopping.best_monitored_update,
            "best_metric_value": early_stopping.best_monitored_value,
            "fp16_scaler": trainer.scaler.state_dict(),
            "config": OmegaConf.to_container(self.config, resolve=True),
            RUN_STATE: {**trainer.run_state(), "criterion": early_stopping.early_stop_criteria},
        }
        if trainer.scheduler is not None:
            scheduler = trainer.scheduler.state_dict()
            state["lr_scheduler"] = {key: value for key, value in scheduler.items() if is_plain(value)}
        if self.git_repo:
            state.update(self._get_vcs_fields())
        return state

    def _remove_old(self) -> None:
        if self.max_to_keep < 1:
            return
        found = {}
        for path in Path(self.models_foldername).glob("model_*.ckpt"):
            match = re.fullmatch(r"model_(\d+)\.ckpt", path.name)
            if match:
                found[int(match[1])] = path
        for update in sorted(found)[: -self.max_to_keep]:
            found[update].unlink()

    def finalize(self):
        """Write the weights alone, ``<model>_final.pth``; every process must call it."""
        state = whole_model_state(self.trainer.model)
        if get_rank() == 0:
            save_atomically(state, self.pth_filepath)

    # ---- loading

    def _load(self, file, force=False, load_zoo=False, load_pretrained=False):
        """Load as MMF does, then what MMF leaves out.

        ``resume_pretrained`` without a mapping means weights only: MMF would take the other run's counters too, and
        stop at once if that run was complete.
        """
        mapping = self.config.checkpoint.pretrained_state_mapping
        if mapping and load_pretrained and is_fully_sharded(self.trainer.model):
            raise ValueError(
                "checkpoint.pretrained_state_mapping copies into whole weights, and training.sharding=full splits them; "
                "use training.sharding=optimizer"
            )
        self.weights_only = bool(load_pretrained and not mapping and not force)
        self._loaded: dict[str, Any] = {}
        super()._load(file, force=force, load_zoo=load_zoo, load_pretrained=load_pretrained)
        loaded, self._loaded = self._loaded, {}
        if loaded and not (load_pretrained and mapping):
            self._report_keys(loaded.get("model", loaded), file)
            self._restore_run(loaded)

    def _torch_load(self, file):
        state = super()._torch_load(file)
        self._loaded = state if isinstance(state, dict) else {}
        return state

    def _report_keys(self, weights: dict, file: str) -> None:
        own = {self._strip(key) for key in self.trainer.model.state_dict()}
        theirs = {self._strip(key) for key in weights}
        if own != theirs:
            logger.warning(
                "%s: %d weights of the model are not in it %s, %d of its weights are not used %s",
                file,
                len(own - theirs),
                sorted(own - theirs)[:5],
                len(theirs - own),
                sorted(theirs - own)[:5],
            )

    @staticmethod
    def _strip(key: str) -> str:
        return key[len("module.") :] if key.startswith("module.") else key

    def _load_optimizer(self, ckpt):
        if not self.weights_only:
            if "optimizer" in ckpt:
                ckpt = {
                    **ckpt,
                    "optimizer": part_of_optimizer_state(self.trainer.optimizer, ckpt["optimizer"]),
                }
            super()._load_optimizer(ckpt)

    def _load_counts(self, ckpt):
        """Take over the counters of the very state that is loaded, be it the best or the last."""
        if self.weights_only:
            return
        trainer = self.trainer
        trainer.num_updates = ckpt.get("num_updates", ckpt.get("current_iteration", trainer.num_updates))
        trainer.current_iteration = ckpt.get("current_iteration", trainer.num_updates)
        trainer.current_epoch = ckpt.get("current_epoch", ckpt.get("best_epoch", trainer.current_epoch))
        for name in ("num_updates", "current_iteration", "current_epoch"):
            registry.register(name, getattr(trainer, name))

    _load_counts_and_lr_scheduler = _load_counts

    def _load_fp16_scaler(self, ckpt):
        """Left to ``_restore_run``: MMF's fails on a checkpoint of another precision."""

    def _restore_run(self, ckpt: dict[str, Any]) -> None:
        if self.resets_counts:
            return
        trainer, reset = self.trainer, self.config.checkpoint.reset
        scaler = ckpt.get("fp16_scaler")
        if scaler and trainer.scaler.is_enabled() and not read_setting(reset, "fp16_scaler", False):
            trainer.scaler.load_state_dict(scaler)
        if trainer.scheduler is not None:
            _restore_scheduler(trainer.scheduler, ckpt.get("lr_scheduler"), trainer.num_updates)
        trainer.restore_run_state(ckpt.get(RUN_STATE, {}))
        logger.info("resuming after update %d, epoch %d", trainer.num_updates, trainer.current_epoch)

    def restore(self):
        """Load the weights of the best state this run (or the one it resumed) has seen, if it has."""
        path = self._path("best.ckpt")
        synchronize()  # the first process may still be writing
        if not (math.isfinite(self.trainer.early_stopping.best_monitored_value) and path.exists()):
            return
        state = self._torch_load(str(path))
        self._loaded = {}
        unwrap_model(self.trainer.model).load_state_dict(state["model"])
        logger.info("restored the best state, of update %d", state["num_updates"])


def _restore_scheduler(scheduler, state: dict[str, Any] | None, num_updates: int) -> None:
    is_lambda = isinstance(scheduler, LambdaLR)
    if state and "last_epoch" in state:
        # Functions are not stored, but their entry is expected.
        lambdas = {"lr_lambdas": [None] * len(scheduler.lr_lambdas)} if is_lambda else {}
        scheduler.load_state_dict({**state, **lambdas})
    elif is_lambda:
        scheduler.last_epoch = num_updates
    if is_lambda:
        # Computed anew: the run may have been made longer.
        for group, rate, factor in zip(
            scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas
        ):
            group["lr"] = rate * factor(scheduler.last_epoch)
