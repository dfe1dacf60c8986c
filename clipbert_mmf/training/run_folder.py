"""Keeps the folder of a run a record: says who may write into it, and where an evaluation of it goes.

A training writes into ``env.save_dir``. An evaluation or prediction of a run gets a folder of its own inside
the run's, so that nothing of the run is written again.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.options import CheckpointOptions

#: Files that hold weights, in a run's folder.
_STATES = ("*best.ckpt", "*current.ckpt", "*_final.pth", "models/model_*.ckpt")
#: What a run with ``env.overwrite=true`` removes of the old one, when it begins to train.
_OVERWRITTEN = (
    *_STATES,
    "*.ckpt.part",
    "*.ckpt.previous",
    "models/*.part",
    "models/superseded/*.ckpt",
    "metrics.jsonl",
    "outcomes_*.npz",
    "unreadable_*.jsonl",
)
_NUMBERED = re.compile(r"model_(\d+)\.ckpt")
#: First word of an evaluation's folder -> what it holds; the time follows.
_EVALUATION = re.compile(r"(?:predict-)?(?:val|test|inference|val-test|val-inference)-\d{4}-\d\d-\d\dT[\d-]+")


@dataclass(frozen=True)
class FolderUse:
    """Holds what a run is about to do with its folder.

    Attributes:
        run_type: as configured.
        trains: whether it trains; ``mmf_predict`` does not, whatever ``run_type`` says.
        predicts: whether it writes predictions in place of measuring.
        overwrite: ``env.overwrite``.
        checkpoint: says whether it goes on with the run in the folder.
    """

    run_type: str
    trains: bool
    predicts: bool
    overwrite: bool
    checkpoint: CheckpointOptions


def holds_run(folder: Path) -> bool:
    """Return whether a folder has weights or numbers of a run; a log and a configuration alone are none."""
    metrics = folder / "metrics.jsonl"
    return any(_list_states(folder)) or (metrics.is_file() and metrics.stat().st_size > 0)


def _list_states(folder: Path) -> Iterator[Path]:
    for pattern in _STATES:
        yield from folder.glob(pattern)


def check_use(folder: Path, use: FolderUse, name: str = "env.save_dir") -> None:
    """Refuse a training that would mix with the run that is in the folder; write nothing.

    Args:
        folder: the run's.
        use: what the training is about to do with it.
        name: key or option that names the folder.

    Raises:
        ConfigurationError: says which options decide.
    """
    if not use.trains:
        return
    goes_on = use.checkpoint.resume and not use.checkpoint.resets_counts
    if goes_on and use.overwrite:
        raise ConfigurationError(
            f"checkpoint.resume=true goes on with the run in {name}, and env.overwrite=true deletes it; set one of "
            "them"
        )
    if goes_on or use.overwrite or not holds_run(folder):
        return
    begins = ""
    if use.checkpoint.resume:
        begins = " (checkpoint.reset.all or checkpoint.reset.counts begins a new run from its weights)"
    resume = "checkpoint.resume=true goes on with it, " if any(folder.glob("*.ckpt")) and not begins else ""
    raise ConfigurationError(
        f"{name}={folder} holds a run already: {describe_run(folder)}{begins}. {resume}"
        f"env.overwrite=true deletes it and begins anew, another {name} keeps it"
    )


def describe_run(folder: Path) -> str:
    """Return what of a run a folder holds, for messages."""
    states = sorted({str(path.relative_to(folder)) for path in _list_states(folder)})
    metrics = folder / "metrics.jsonl"
    parts = states if len(states) < 4 else [*states[:3], f"{len(states) - 3} more"]
    if metrics.is_file():
        with open(metrics, "rb") as file:
            parts.append(f"metrics.jsonl with {sum(1 for _ in file)} records")
    return ", ".join(parts)


def choose_evaluation_folder(folder: Path, use: FolderUse) -> Path:
    """Make and return the folder that an evaluation or prediction writes into.

    ``<folder>/test-2026-03-01T12-00-00`` where ``folder`` is the one of a run, with ``predict-`` before it
    for predictions; else ``folder`` itself.
    """
    if not (holds_run(folder) or (folder / "config.yaml").is_file()):
        return folder
    words = [word for word in ("val", "test", "inference") if word in use.run_type] or ["inference"]
    name = "-".join(words[:2]) + time.strftime("-%Y-%m-%dT%H-%M-%S")
    name = f"predict-{name}" if use.predicts else name
    for number in range(1, 1000):
        path = folder / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:  # another one began in the same second
            continue
        return path
    raise FileExistsError(f"{folder / name} and 998 more are there")


def list_evaluation_folders(folder: Path) -> list[Path]:
    """Return the folders of evaluations and predictions in a run's folder, oldest first."""
    inside = folder.iterdir() if folder.is_dir() else ()
    found = [path for path in inside if path.is_dir() and _EVALUATION.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.name.partition("20")[2], path.stat().st_mtime))


def clear_run(folder: Path) -> None:
    """Delete weights, numbers and evaluations of the run in a folder; logs and files of others stay."""
    for pattern in _OVERWRITTEN:
        for path in folder.glob(pattern):
            path.unlink()
    for path in list_evaluation_folders(folder):
        shutil.rmtree(path)


def set_superseded_aside(models_folder: Path, num_updates: int) -> list[str]:
    """Move numbered checkpoints of a part of a run that is done again, and return their names.

    A run that goes on from an earlier state would mix with them, and ``max_to_keep`` would keep them in place
    of its own.
    """
    moved: list[str] = []
    for update, path in sorted(list_numbered(models_folder).items()):
        if update > num_updates:
            target = models_folder / "superseded"
            target.mkdir(exist_ok=True)
            path.replace(target / path.name)
            moved.append(path.name)
    return moved


def list_numbered(models_folder: Path) -> dict[int, Path]:
    """Return the numbered checkpoints by update."""
    found = ((_NUMBERED.fullmatch(path.name), path) for path in models_folder.glob("model_*.ckpt"))
    return {int(match[1]): path for match, path in found if match}
