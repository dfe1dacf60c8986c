"""Compares a file of weights with the model that the file, or the user, describes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from clipbert_mmf.inference.recipe import read_recipe
from clipbert_mmf.inference.settings import load_model_config, read_yaml
from clipbert_mmf.inference.sources import is_saved_folder
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import SECTION, HeadConfig, ModelConfig, parse_model_config
from clipbert_mmf.modules.heads import guess_head
from clipbert_mmf.weights.files import WeightsFile, read_weights
from clipbert_mmf.weights.inspection import Inspection, inspect_file
from clipbert_mmf.weights.loading import find_weights


def inspect_weights(location: str | Path, config: str | Path | None = None) -> Inspection:
    """Describe a file of weights and the tensors of a model that it would fill.

    Args:
        location: file, folder, or hub name of a BERT.
        config: a model's or a run's YAML; None compares with the model that the file itself describes, or
            else with the paper's model and the head that the file has.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it cannot be read, or its names are of no known format.
    """
    file = read_weights(find_weights(location, "transformer", "the file of weights"))
    with torch.device("meta"):
        network = build_network(_choose_config(file, config))
    return inspect_file(file, network)


def _choose_config(file: WeightsFile, config: str | Path | None) -> ModelConfig:
    if config is not None:
        return load_model_config(config)
    if is_saved_folder(file.path) and '"clipbert"' in (file.path / "config.json").read_text(encoding="utf-8"):
        return read_recipe(file.path).model
    head = _find_head(file)
    beside = file.path.parent / "config.yaml"
    run = file.config or (read_yaml(beside) if beside.is_file() else {})
    described = (run.get("model_config") or {}).get("clipbert")
    if not described:
        return ModelConfig(head=head)
    model = parse_model_config(described, f"the configuration of {file.path}: {SECTION}")
    if not model.head.num_answers:  # the run counted them
        model = replace(model, head=replace(model.head, num_answers=head.num_answers))
    return model


def _find_head(file: WeightsFile) -> HeadConfig:
    """Return the head whose weights a file of the released model's, or of ours, has."""
    for name, value in file.tensors.items():
        if name.endswith(("cls.seq_relationship.weight", "head.match.weight")):
            return HeadConfig(guess_head(len(value), predicts_words=True))
        if name.endswith(("transformer.classifier.2.weight", "head.output.weight")):
            answers = len(value)
            return HeadConfig(guess_head(answers), answers)
    return HeadConfig()
