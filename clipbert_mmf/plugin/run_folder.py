"""Decides what a run may do with ``env.save_dir``, before MMF writes its first line there.

``host.shims.startup.settle_run_folder`` calls it when the configuration is complete and no log is open yet.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmf.common.registry import registry

from clipbert_mmf.configuration import ConfigurationError, parse_config, to_plain
from clipbert_mmf.inference.settings import read_yaml, select
from clipbert_mmf.inference.sources import RUN_CONFIG, read_run
from clipbert_mmf.models.config import SECTION
from clipbert_mmf.processes import end_with_parent
from clipbert_mmf.training.checkpoint_files import refuse_damaged, unshare
from clipbert_mmf.training.checkpoints import find_resumed
from clipbert_mmf.training.distributed import broadcast_from_rank_0, get_rank
from clipbert_mmf.training.logging import FILE_NAME
from clipbert_mmf.training.options import CheckpointOptions
from clipbert_mmf.training.run_folder import FolderUse, check_use, choose_evaluation_folder, holds_run
from clipbert_mmf.training.run_lock import acquire_lock, release_lock

_OURS = "clipbert"
#: MMF's registry keeps the folder that holds the run's checkpoints under this name.
_RUN_FOLDER = "clipbert_run_folder"


def settle_run_folder(config: Any, predict: bool) -> None:
    """Check and lock the folder of a training, or give an evaluation of a run a folder of its own.

    Runs of MMF's own models with MMF's own trainers are left alone, unless the folder holds a run of this trainer.

    Args:
        config: MMF's; ``env.save_dir`` is changed where an evaluation gets its own folder.
        predict: whether ``mmf_predict`` started the run.

    Raises:
        ConfigurationError: on every process, before anything is written.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun dies of signals that it does not pass on
        end_with_parent(os.getppid(), signal.SIGTERM)
    registry.register(_RUN_FOLDER, None)
    trainer, model = config["training"]["trainer"], config["model"]
    folder = Path(str(config["env"]["save_dir"]))
    if _OURS not in (trainer, model) and not (folder / FILE_NAME).is_file():
        return
    if predict:
        config["run_type"] = name_evaluation(str(config["run_type"]) if "run_type" in config else "")
    _require_best(config, folder)
    use = _read_use(config, predict)
    if model == _OURS and not use.trains:
        _use_own_weights(config)
    answer: tuple[Path, str] = (folder, "")
    if get_rank() == 0:
        try:
            answer = (_settle(folder, use, trainer == _OURS), "")
        except ConfigurationError as error:
            answer = (folder, str(error))
        except OSError as error:  # every process must know, not this one alone
            problem = f"{error.strerror}: {error.filename}"
            answer = (
                folder,
                f"env.save_dir={folder} cannot be written: {problem}; set env.save_dir to another folder",
            )
    written, problem = broadcast_from_rank_0(answer)
    if problem:
        raise ConfigurationError(problem)
    registry.register(_RUN_FOLDER, str(folder))
    loaded = find_resumed(use.checkpoint, folder)
    if use.checkpoint.resume and loaded is not None:
        # MMF prefers ``current.ckpt``, though it is damaged; its own trainer looks in env.save_dir alone.
        is_given = str(loaded) == use.checkpoint.resume_file
        if is_given or (written != folder and trainer != _OURS):
            config["checkpoint"]["resume"], config["checkpoint"]["resume_file"] = False, str(loaded)
        else:
            config["checkpoint"]["resume"] = True
    if written != folder:
        config["env"]["save_dir"] = str(written)


def name_evaluation(run_type: str) -> str:
    """Return a ``run_type`` without training, for ``mmf_predict``, whose default is a run that trains."""
    return "_".join(word for word in run_type.split("_") if word != "train") or "inference"


def _use_own_weights(config: Any) -> None:
    """Give an evaluation by a run's own ``config.yaml`` the run's weights, in place of those that it started from."""
    file = Path(str(config["config"] if "config" in config else ""))  # noqa: SIM401 old OmegaConf raises in get
    if file.name != RUN_CONFIG or not holds_run(file.parent):
        return
    section = config["checkpoint"]
    if any(section.get(key) for key in ("resume", "resume_best", "resume_file", "resume_zoo")):
        return
    weights = config["model_config"][_OURS]["weights"]
    if to_plain(weights) == select(read_yaml(file), f"{SECTION}.weights", str(file)):
        weights["clipbert"] = str(read_run(file.parent).checkpoint.path.resolve())
        weights["backbone"] = weights["transformer"] = None


def _require_best(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse ``checkpoint.resume_best`` alone without ``best.ckpt``: another state is not what was asked for."""
    section = config["checkpoint"]
    given = [key for key in ("resume", "resume_file", "resume_zoo") if section.get(key)]
    if given or "resume_best" not in section or not section["resume_best"]:
        return
    best = folder / "best.ckpt"
    if not best.is_file():
        raise ConfigurationError(
            f"checkpoint.resume_best=true loads {best}, and there is no such file; set env.save_dir to the folder of a "
            f"run, or give checkpoint.resume_file"
        )


def _settle(folder: Path, use: FolderUse, is_our_trainer: bool) -> Path:
    """Return the folder to write into."""
    folder.mkdir(parents=True, exist_ok=True)
    check_use(folder, use)
    loaded = find_resumed(use.checkpoint, folder)
    if loaded is not None:
        refuse_damaged(loaded, folder)
    if not use.trains:
        return choose_evaluation_folder(folder, use)
    acquire_lock(folder)
    try:
        check_use(folder, use)  # another one may have trained until now
        if not is_our_trainer:
            for path in (*folder.glob("*current.ckpt"), *folder.glob("*best.ckpt")):
                unshare(path)
    except BaseException:
        release_lock(folder)
        raise
    return folder


def _read_use(config: Mapping[str, Any], predict: bool) -> FolderUse:
    names = ("resume", "resume_file", "resume_best", "resume_pretrained")
    section = config["checkpoint"]
    values: dict[str, Any] = {name: section[name] for name in names if name in section}
    if values.get("resume_best") and not values.get("resume_file"):
        values["resume"] = True  # resume_best alone is of the run in the folder too
    reset: Mapping[str, Any] = section["reset"] if "reset" in section else {}  # noqa: SIM401 old OmegaConf
    values["reset"] = {name: bool(reset[name]) for name in ("all", "counts") if name in reset}
    evaluation = config["evaluation"]
    run_type = str(config["run_type"]) if "run_type" in config else "train"
    return FolderUse(
        run_type=run_type,
        trains="train" in run_type and not predict,
        predicts=bool(evaluation["predict"]) if "predict" in evaluation else False,
        overwrite=read_overwrite(config),
        checkpoint=parse_config(CheckpointOptions, values, "checkpoint"),
    )


def read_overwrite(config: Mapping[str, Any]) -> bool:
    """Return ``env.overwrite``."""
    section = config["env"]
    value = section["overwrite"] if "overwrite" in section else False  # noqa: SIM401 old OmegaConf raises in get
    if not isinstance(value, bool):
        raise ConfigurationError(f"env.overwrite is {value!r}; allowed are true and false")
    return value


def may_write_into(folder: Path) -> bool:
    """Return whether this run may write into a folder, which a refused one, or one that failed before, may not."""
    return registry.get(_RUN_FOLDER, no_warning=True) is not None or not holds_run(folder)


def find_run_folder(config: Mapping[str, Any]) -> Path:
    """Return the folder that holds the run's checkpoints, also where ``env.save_dir`` is that of an evaluation."""
    folder: Any = registry.get(_RUN_FOLDER, no_warning=True)
    return Path(str(folder or config["env"]["save_dir"]))
