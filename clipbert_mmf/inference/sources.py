"""Finds a trained model: a saved folder, the folder of a run, one of its checkpoints, or a name on the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clipbert_mmf.inference.project_config import read_model_description
from clipbert_mmf.inference.recipe import CONFIG_FILE, PREPROCESSING_FILE
from clipbert_mmf.inference.settings import RecipeError, read_yaml
from clipbert_mmf.weights.files import WeightsFile, read_weights
from clipbert_mmf.weights.trained_with import TrainedWith

#: Checkpoints of a run's folder, in the order they are tried; the final weights are those of the best state.
_CHECKPOINTS = ("best.ckpt", "clipbert_final.pth", "current.ckpt")
#: Graphs that ``onnx_export`` writes.
ONNX_FILES = ENCODER_FILE, SCORER_FILE = "encoder.onnx", "scorer.onnx"
#: Configuration that a run saves in its folder.
RUN_CONFIG = "config.yaml"
_HUB_NAME = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
#: Files of a saved folder; nothing else of a hub's repository is fetched.
_HUB_FILES = [
    CONFIG_FILE,
    PREPROCESSING_FILE,
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
]


def find_local_model(location: str | Path) -> Path | None:
    """Return the folder or file of a location, None for a name that may be one on the hub; fetches nothing.

    Raises:
        FileNotFoundError: if there is no such path, and it is no name on the hub either.
        RecipeError: for a folder of ONNX graphs.
    """
    path = Path(location).expanduser()
    if path.exists():
        if any((path / name).is_file() for name in ONNX_FILES):
            raise RecipeError(
                f"{path} holds ONNX graphs, which ONNX Runtime runs as its README.md says; give the folder or run "
                f"that they were made of"
            )
        return path
    if "://" in str(location):
        name = urlsplit(str(location)).path.strip("/")
        raise FileNotFoundError(
            f"model '{location}': a URL is no model; give a path, or the name on the hub"
            + (f", {name}" if _HUB_NAME.fullmatch(name) else "")
        )
    if not _HUB_NAME.fullmatch(str(location)) or path.suffix in (".ckpt", ".pth", ".pt", ".safetensors"):
        raise FileNotFoundError(f"model '{location}': no such file or folder")
    return None


def find_model(location: str | Path, revision: str | None = None) -> Path:
    """Return the folder or file of a location; fetch it where it is a name on the hub.

    Args:
        location: path or hub name.
        revision: branch, tag or commit on the hub.

    Raises:
        FileNotFoundError: if there is no such path, and the model is neither in the hub's cache nor can be
            fetched.
        RecipeError: for a folder of ONNX graphs.
    """
    path = find_local_model(location)
    if path is not None:
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import (  # older versions have no huggingface_hub.errors
        HfHubHTTPError,  # pyright: ignore[reportPrivateImportUsage]
        HFValidationError,  # pyright: ignore[reportPrivateImportUsage]
    )

    try:
        return Path(snapshot_download(str(location), revision=revision, allow_patterns=_HUB_FILES))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(
            f"model '{location}': no such file or folder, and no model of that name is in the Hugging Face "
            f"cache or "
            f"could be fetched from the hub ({reason})"
        ) from error


def is_saved_folder(path: Path) -> bool:
    """Return whether a path is a folder with a ``config.json``, as ``ClipBert.save_pretrained`` writes it."""
    return path.is_dir() and (path / CONFIG_FILE).is_file()


def _holds_model(path: Path) -> bool:
    return is_saved_folder(path) or any((path / name).is_file() for name in _CHECKPOINTS)


@dataclass(frozen=True)
class RunFiles:
    """A checkpoint of a run, and the run's configuration.

    Attributes:
        checkpoint: read already; its numbers stay on disk until used.
        config: configuration of the run.
        config_place: place of the configuration, for messages.
        folder: folder of the run.
        trained_with: what the model was trained with; None for a checkpoint that does not say it.
    """

    checkpoint: WeightsFile
    config: dict[str, Any]
    config_place: str
    folder: Path
    trained_with: TrainedWith | None = None


def read_run(path: Path, config: str | Path | None = None, dataset: str | None = None) -> RunFiles:
    """Find a run's checkpoint and configuration.

    Args:
        path: the run's folder, or one of its checkpoints.
        config: the run's ``config.yaml``, where it is elsewhere; or the YAML of a project, for weights of
            others.
        dataset: registry key of the dataset, where a project's YAML does not tell it.

    Raises:
        RecipeError: if the folder holds no checkpoint, or no configuration is to be found.
        FileNotFoundError, WeightsFileError: if a file is not there or cannot be read.
    """
    if path.is_dir():
        found = [path / name for name in _CHECKPOINTS if (path / name).is_file()]
        if not found:
            inner = [child for child in sorted(path.iterdir()) if _holds_model(child)]
            raise RecipeError(
                f"{path} is neither a saved model (it has no {CONFIG_FILE}) nor the folder of a run (it has "
                f"none of "
                f"{', '.join(_CHECKPOINTS)})" + (f"; {inner[0]} is one" if inner else "")
            )
        path = found[0]
    checkpoint = read_weights(path)
    beside = [folder / RUN_CONFIG for folder in (path.parent, path.parent.parent)]
    folder = next((file.parent for file in beside if file.is_file()), path.parent)
    trained_with = checkpoint.trained_with
    if config is not None:
        described = read_model_description(config, dataset)
        return RunFiles(checkpoint, described, str(config), folder, trained_with)
    if checkpoint.config is not None:
        return RunFiles(checkpoint, checkpoint.config, f"the configuration in {path}", folder, trained_with)
    if trained_with is not None and trained_with.model:
        return RunFiles(
            checkpoint, trained_with.to_config(), f"the description in {path}", folder, trained_with
        )
    if not (folder / RUN_CONFIG).is_file():
        raise RecipeError(
            f"{path} holds weights alone and no {RUN_CONFIG} lies beside it, so what network they are of is "
            f"unknown; give the {RUN_CONFIG} of its run, or the YAML of a project "
            f"(projects/clipbert/configs/<dataset>/defaults.yaml), as --config (in Python, config=)"
        )
    return RunFiles(checkpoint, read_yaml(folder / RUN_CONFIG), str(folder / RUN_CONFIG), folder)
