"""Finds the file that the weights of a run come from, as MMF finds it, and reads what it says about its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.inference.recipe import read_recipe, trained_with_of
from clipbert_mmf.inference.sources import is_saved_folder

# As a module: its import loads MMF, which may import this file on the way.
from clipbert_mmf.plugin.run_folder import find_run_folder
from clipbert_mmf.weights.files import WeightsFileError, read_weights
from clipbert_mmf.weights.trained_with import TrainedWith


def is_ours(run: Any) -> bool:
    """Return whether the model of a run is ClipBERT."""
    return OmegaConf.select(run, "model") == "clipbert"


def find_resumed(run: Any, trains: bool) -> Path | None:
    """Return the checkpoint that ``checkpoint.*`` makes a run test or go on with, as MMF finds it.

    Args:
        run: MMF's configuration.
        trains: whether the run trains; it may then start anew from the weights of a checkpoint.

    Raises:
        ConfigurationError: if the file that is named is not there, or no checkpoint.
    """

    def read(key: str) -> Any:
        return OmegaConf.select(run, f"checkpoint.{key}")

    folder, given = find_run_folder(run), read("resume_file") or read("resume_zoo")
    names = ("best.ckpt", "current.ckpt") if read("resume_best") else ("current.ckpt", "best.ckpt")
    first = folder / names[0]
    resumes = read("resume") or (read("resume_best") and not given)
    starts_anew = trains and bool(read("reset.all") or read("reset.counts"))
    if given and not (resumes and first.is_file()):
        if starts_anew or (trains and read("resume_pretrained")):
            return None
        return _find_file(read("resume_file"), read("resume_zoo"))
    if not resumes or starts_anew:
        return None
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _find_file(file: Any, zoo: Any) -> Path:
    path = Path(str(file or "")).expanduser()
    if file and path.is_file():
        return path
    if file and path.is_dir():
        found = [name for name in ("best.ckpt", "current.ckpt") if (path / name).is_file()]
        hint = f"; give {path / found[0]}" if found else ""
        raise ConfigurationError(f"checkpoint.resume_file={file} is a folder, not a checkpoint{hint}")
    if not zoo:
        raise ConfigurationError(f"checkpoint.resume_file={file}: no such file")
    path = Path(str(zoo)).expanduser()
    if not path.exists():
        from mmf.utils.download import download_pretrained_model

        path = Path(str(download_pretrained_model(str(zoo))))
    if path.is_file():
        return path
    inside = sorted(one for ending in ("pth", "ckpt", "pt") for one in path.glob(f"*.{ending}"))
    return inside[0] if len(inside) == 1 else path


def read_description(source: Path) -> TrainedWith | None:
    """Return what a checkpoint or a converted folder says about its model; None where it says nothing.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    if is_saved_folder(source):
        recipe = read_recipe(source) if (source / "preprocessor_config.json").is_file() else None
        return None if recipe is None else trained_with_of(recipe)
    try:
        return read_weights(source).trained_with
    except WeightsFileError as error:
        raise ConfigurationError(f"{error}; a run tests and resumes checkpoints such as best.ckpt") from error
