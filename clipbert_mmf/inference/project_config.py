"""Completes the YAML of a project as MMF does before a run, for weights that come without a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipbert_mmf.configuration import suggest
from clipbert_mmf.inference.settings import RecipeError, merge, read_yaml
from clipbert_mmf.paths import config_dir
from clipbert_mmf.tasks.datasets import SPECS

#: Sections that the saved configuration of a run has and a project's YAML has not all of.
_RUN_SECTIONS = ("datasets", "dataset_config", "model_config")


def read_model_description(location: str | Path, dataset: str | None = None) -> dict[str, Any]:
    """Read the configuration that describes a model: a run's ``config.yaml``, or the YAML of a project.

    A project's YAML holds what differs from the defaults of the model and of its dataset, which are filled in.

    Args:
        location: the file. ``projects/...`` is found in an installed package too.
        dataset: registry key of the dataset, where the YAML does not tell.

    Raises:
        FileNotFoundError: if it is not there.
        RecipeError: if it is no YAML mapping, or does not tell its dataset.
    """
    path = Path(location).expanduser()
    config = read_yaml(path)
    if all(isinstance(config.get(key), (str, Mapping)) for key in _RUN_SECTIONS):
        return config
    name = dataset or _find_dataset(config, path)
    if name not in SPECS:
        raise RecipeError(
            f"{path} is for dataset '{name}', which is not registered{suggest(name, SPECS)}; a package of yours "
            f"that registers it is named with --user-dir"
        )
    defaults = read_yaml(SPECS[name].config or config_dir() / "datasets" / name / "defaults.yaml")
    models = config.get("model_config") or {"clipbert": {}}
    if isinstance(models, Mapping) and "clipbert" in models:
        defaults = merge(read_yaml(config_dir() / "models" / "clipbert" / "defaults.yaml"), defaults)
    return merge(merge(defaults, config), {"datasets": name})


def _find_dataset(config: Mapping[str, Any], path: Path) -> str:
    """Return the dataset of a project's YAML: the one that it names, else the one that its folder is called after."""
    criteria = str(((config.get("training") or {}).get("early_stop") or {}).get("criteria") or "")
    named = [part for part in criteria.split("/")[:-1] if part in SPECS]
    sections = sorted(config.get("dataset_config") or {})
    for names in (sections, named, [path.resolve().parent.name] if path.parent.name in SPECS else []):
        if len(names) == 1:
            return names[0]
    raise RecipeError(
        f"{path} does not tell its dataset, and so not how videos and texts are read; name it with --dataset "
        f"(in Python, dataset=), such as msrvtt_retrieval"
    )
