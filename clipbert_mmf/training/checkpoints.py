"""Saves and restores a run: a kill cannot destroy a checkpoint, and a resumed run goes on exactly.

Checkpoints hold MMF's keys, so both MMFs read them, and theirs load here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.checkpoint_files import (
    check_space,
    copy_atomically,
    estimate_bytes,
    find_damage,
    give_second_name,
    hash_weights,
    read_state,
    save_atomically,
)
from clipbert_mmf.training.distributed import broadcast_from_rank_0, get_rank, synchronize
from clipbert_mmf.training.host import Host
from clipbert_mmf.training.options import CheckpointOptions
from clipbert_mmf.training.resuming import Changes, continue_schedule, use_current_groups
from clipbert_mmf.training.run import STATE_VERSION, Run
from clipbert_mmf.training.run_folder import clear_run, list_numbered, set_superseded_aside
from clipbert_mmf.training.sharding import gather_model_state, gather_optimizer_state, shard_optimizer_state
from clipbert_mmf.writing import PARTIAL

logger = logging.getLogger(__name__)

#: Key of a checkpoint that holds ``Run.describe``.
RUN_STATE = "clipbert_run"


class Checkpointer:
    """Writes the checkpoints of a run, and loads them.

    Args:
        run: is saved and restored.
        host: gives the configuration that a checkpoint keeps.
        folder: the run's ``env.save_dir``.
        prefix: begins the names of ``best.ckpt`` and ``current.ckpt``.
        weights_file: gets the weights alone at the end.
    """

    def __init__(
        self, run: Run, host: Host, folder: Path, prefix: str, weights_file: Path, overwrite: bool = False
    ) -> None:
        self.run, self.host, self.options = run, host, run.options.checkpoint
        self.folder, self.models_folder, self.weights_file = folder, folder / "models", weights_file
        self.current_file, self.best_file = folder / f"{prefix}current.ckpt", folder / f"{prefix}best.ckpt"
        #: The best state of before, until ``current.ckpt`` names the new one.
        self.previous_file = folder / f"{prefix}best.ckpt.previous"
        self.overwrite = overwrite
        #: Update of ``current.ckpt``; None where this process neither saved nor loaded one.
        self.saved_update: int | None = None

    # ---- beginning

    def begin(self) -> None:
        """Make the folder this run's, before it trains; every process must call it.

        What a killed run left half written is removed, states of a part that is done again are set aside, and
        the best state that the loaded checkpoint names is looked for: without it, the best value starts anew.
        """
        found = True
        if get_rank() == 0:
            self.models_folder.mkdir(parents=True, exist_ok=True)
            for place in (self.folder, self.models_folder):
                for partial in place.glob(f"*{PARTIAL}"):
                    partial.unlink()
            check_space(self.folder, estimate_bytes(self.run.bare_model), self._count_states())
            found = self._settle_best()  # before the old run is deleted, which may be the one that was loaded
            if self.overwrite:
                clear_run(self.folder)
            self._clear_later_states()
            self._remove_old()
        if not broadcast_from_rank_0(found):
            self.run.early_stopping.forget_best()
        loaded = self.run.loaded_file
        if self.run.num_updates and loaded is not None and loaded.is_relative_to(self.folder.resolve()):
            self.saved_update = self.run.num_updates

    def _count_states(self) -> int:
        """Return how many states the folder holds at most at a time, while one more is being written."""
        loop, left = self.run.options.loop, self.run.data.max_updates - self.run.num_updates
        intervals = [
            interval for interval in (loop.checkpoint_interval, loop.evaluation_interval) if interval
        ]
        saves = 1 + sum(left // interval for interval in intervals if interval > 0)
        kept = self.options.max_to_keep or 0
        # Beside those kept: the best one, which may be older, and the one that is being written.
        return max(1, saves if kept < 1 else min(saves, kept + 2))

    def _clear_later_states(self) -> None:
        """Remove states of a part of the run that is done again: ``max_to_keep`` would count them."""
        loaded, update = self.run.loaded_file, self.run.num_updates
        if loaded is not None and loaded == self.current_file.resolve():
            # A kill came before current.ckpt named them, so that they never were the run's.
            for number, path in list_numbered(self.models_folder).items():
                if number > update:
                    path.unlink()
            return
        moved = set_superseded_aside(self.models_folder, update)
        if moved:
            place = self.models_folder / "superseded"
            logger.warning(
                "the run goes on from update %d; later states moved to %s: %s",
                update,
                place,
                ", ".join(moved),
            )

    def _settle_best(self) -> bool:
        """Give the best state its name again; return False where it is nowhere."""
        stopping = self.run.early_stopping
        if not stopping.has_best or not self.run.num_updates:
            return True
        update = stopping.best_monitored_update
        found, problem = self._find_best()
        if found is None:
            logger.warning(
                "the best state of the run so far, of update %d, is gone (%s): the best value starts anew",
                update,
                problem,
            )
            return False
        if found != self.best_file:
            logger.warning("%s; the best state, of update %d, is taken from %s", problem, update, found)
            # A file of another run's folder stays apart from this one's.
            give = give_second_name if found.is_relative_to(self.folder) else copy_atomically
            give(found, self.best_file)
        self.previous_file.unlink(missing_ok=True)
        return True

    def _find_best(self) -> tuple[Path | None, str]:
        """Return the file of the best state, and what is wrong with ``best.ckpt`` where it is another one."""
        problem = self._check_best(self.best_file)
        if problem is None:
            return self.best_file, ""
        name = f"model_{self.run.early_stopping.best_monitored_update}.ckpt"
        candidates = [self.previous_file, self.models_folder / name, self.current_file]
        loaded = self.run.loaded_file  # the best state of its run may lie beside it
        if loaded is not None:
            folder = loaded.parent
            candidates += [loaded, folder / name, folder / "models" / name]
            candidates += [place / self.best_file.name for place in (folder, folder.parent)]
        for path in candidates:
            if self._check_best(path) is None:
                return path, problem
        return None, problem

    def _check_best(self, path: Path) -> str | None:
        """Return why a file is not the best state that the record names; None where it is."""
        if not path.is_file():
            return f"{path} is missing"
        stopping = self.run.early_stopping
        try:
            state = read_state(path)
        except ValueError as error:
            return f"{path} is damaged: {error}"
        if state.get("num_updates") != stopping.best_monitored_update:
            return f"{path} is of update {state.get('num_updates')}"
        if stopping.best_hash is not None and hash_weights(state["model"]) != stopping.best_hash:
            return f"{path} has other weights than those that were the best"
        return None

    # ---- saving

    def save(self, is_best: bool = False, publish: Callable[[], None] | None = None) -> None:
        """Write ``models/model_<update>.ckpt``, for the best state ``best.ckpt``, and ``current.ckpt``.

        Renaming ``current.ckpt`` is the one step that makes the state the run's: all that belongs to it is
        there by then, and what a run killed before leaves is undone or done again when it goes on.

        Rank 0 writes; every process must call it, since each may hold a part.

        Args:
            is_best: whether the state is the best so far.
            publish: writes the state's record, on every process.
        """
        state = self._describe(is_best)
        if get_rank() != 0:
            if publish is not None:
                publish()
            self.saved_update = self.run.num_updates
            return
        self.models_folder.mkdir(parents=True, exist_ok=True)
        numbered = self.models_folder / f"model_{self.run.num_updates}.ckpt"
        save_atomically(state, numbered)
        if is_best:
            if self.best_file.is_file() and not self.previous_file.is_file():
                give_second_name(self.best_file, self.previous_file)
            give_second_name(numbered, self.best_file)
        if publish is not None:
            publish()
        give_second_name(numbered, self.current_file)
        self.saved_update = self.run.num_updates
        self.previous_file.unlink(missing_ok=True)
        self._remove_old()
        self.host.log_checkpoint(self.current_file)

    def describe_newest(self) -> str:
        """Return the newest saved state and how to go on from it, for the last line of a run that a signal ends."""
        update, reached = self.saved_update, self.run.num_updates
        if update is None:
            return f"stopped after update {reached}, before anything was saved; start the run again"
        lost = "" if update == reached else f" (updates {update + 1} to {reached} are lost)"
        return (
            f"stopped after update {reached} of {self.run.data.max_updates}; {self.current_file} is of update "
            f"{update}{lost}. Go on with the same command and checkpoint.resume=true"
        )

    def write_weights(self) -> None:
        """Write the weights alone; every process must call it."""
        state = gather_model_state(self.run.model)
        if get_rank() == 0:
            save_atomically(state, self.weights_file)

    def _describe(self, is_best: bool) -> dict[str, Any]:
        run, weights = self.run, gather_model_state(self.run.model)
        if is_best:
            run.early_stopping.best_hash = hash_weights(weights) if get_rank() == 0 else None
        state: dict[str, Any] = {
            "model": weights,
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
        found = list_numbered(self.models_folder)
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
        if weights_only:
            self._require_shapes(weights, source)
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

    def _require_shapes(self, weights: Mapping[str, Tensor], source: str) -> None:
        """Refuse weights of another shape, which a run that begins anew may leave out in another way."""
        own = self.run.model.state_dict()
        differing = [
            f"{name} is {tuple(tensor.shape)} there and {tuple(own[name].shape)} in the model"
            for name, tensor in weights.items()
            if name in own and own[name].shape != tensor.shape
        ]
        if differing:
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            raise ConfigurationError(
                f"checkpoint.resume_pretrained=true loads all weights of {source}, and {differing[0]}{more}; "
                f"checkpoint.pretrained_state_mapping names parts to load, and of ClipBERT "
                f"model_config.clipbert.weights.clipbert={source} checkpoint.resume_file=null loads what fits"
            )

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
        """Load the weights of the best state this run has seen, if it has; every process must call it."""
        synchronize()  # rank 0 may still be writing
        stopping = self.run.early_stopping
        if not stopping.has_best:
            return
        found, problem = broadcast_from_rank_0(self._find_best() if get_rank() == 0 else None)
        if found is None:
            logger.warning(
                "the best state, of update %d, is gone (%s): what follows is of the last one, of update %d",
                stopping.best_monitored_update,
                problem,
                self.run.num_updates,
            )
            return
        if problem:
            logger.warning("%s; the best state is taken from %s", problem, found)
        state = torch.load(str(found), map_location=self.run.device, weights_only=True)
        self.run.bare_model.load_state_dict(state["model"])
        self.run.restored_update = stopping.best_monitored_update
        logger.info("restored the best state, of update %d", stopping.best_monitored_update)


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
    found = find_resumed(options, folder)
    is_given = found is not None and options.resume_file is not None and found == Path(options.resume_file)
    if found is None or (is_given and options.resume_pretrained):
        return None
    try:
        state = read_state(found, check=False)
    except ValueError:  # an older format, or objects of others: not written here
        return None
    check_version(state, str(found))
    return state.get(RUN_STATE, {}).get("seed")


def find_resumed(options: CheckpointOptions, folder: Path) -> Path | None:
    """Return the checkpoint that a run in a folder will load, as MMF finds it; None where there is none.

    A ``resume_file`` in the run's own folder counts where ``current.ckpt`` is damaged.
    """
    names = ("best.ckpt", "current.ckpt") if options.resume_best else ("current.ckpt", "best.ckpt")
    given = Path(options.resume_file) if options.resume_file else None
    first = folder / names[0]
    if given is not None and not (options.resume and first.is_file() and not _is_replaced(first, given)):
        return given if given.is_file() else None
    if not options.resume:
        return None
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _is_replaced(current: Path, given: Path) -> bool:
    own = given.resolve().is_relative_to(current.parent.resolve())
    return own and given.is_file() and find_damage(current) is not None


def is_plain(value: Any) -> bool:
    """Return whether a value is made of numbers, strings, lists and dicts, which any torch loads safely."""
    if isinstance(value, dict):
        entries = cast(dict[Any, Any], value)
        return all(isinstance(key, (str, int)) and is_plain(item) for key, item in entries.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in cast(Sequence[Any], value))
    return value is None or isinstance(value, (int, float, str, bool))
