"""Fits the contrastive head to the frozen features in the file of the baselines, as ``training.first_stage`` does.

The recipe is ``projects/clipbert/configs/real/first_stage.yaml``; features are read from the file, so that a further
seed or setting costs the fit alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from clipbert_mmf.configuration import parse_config
from clipbert_mmf.inference.settings import merge, read_yaml
from clipbert_mmf.models.build import fill_randomly
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.modules.contrastive import CONTRASTIVE_HEADS, TowersHead, normalize
from clipbert_mmf.scoring.outcomes import Measured
from clipbert_mmf.training.first_stage import FrozenFeatures, fit_towers
from clipbert_mmf.training.options import FirstStageOptions
from real_benchmark.features import TEXT_LAYERS, Features
from real_benchmark.linear import measure_similarity
from real_benchmark.runs import RECIPES
from real_benchmark.systems import Result, ResultStore, describe_machine

SYSTEM = "two towers on the cached features"
#: The head's linear member alone: the best linear map that is known here.
LINEAR = "canonical correlation, all layers of the towers"
#: Layers side by side, as ``out_stage: final_and_last`` has them.
LAYERS = ("head_conv", "last_stage")
_RECIPE = RECIPES / "first_stage.yaml"


def fit_head(
    features: Features, seed: int, changes: Mapping[str, Any] | None = None, precision: str = "fp32"
) -> TowersHead:
    """Return the recipe's head fitted to the training photos.

    Args:
        features: of ``LAYERS`` and of captions.
        seed: of its weights, of the order and of what dropout drops.
        changes: sections that differ from the recipe's.
        precision: fp32 or bf16.
    """
    recipe = merge(read_yaml(_RECIPE), dict(changes or {}))
    config = parse_model_config(recipe["model_config"]["clipbert"])
    options = parse_config(FirstStageOptions, recipe["training"]["first_stage"], "training.first_stage")
    training = _select(features, "train")
    torch.manual_seed(seed)
    channels = [features.images[layer].shape[1] for layer in LAYERS]
    hidden_size = features.deep_texts.shape[1] // len(TEXT_LAYERS)
    head = CONTRASTIVE_HEADS["towers"](channels, hidden_size, config.contrastive)
    assert isinstance(head, TowersHead) and head.text_layers == TEXT_LAYERS
    fill_randomly(head, config.transformer.init_std)
    device = torch.device("cpu")
    fit_towers(
        head, training, options, device, lambda: torch.autocast("cpu", torch.bfloat16, precision == "bf16")
    )
    return head.eval()


def _join_layers(features: Features, photos: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([features.images[layer][photos] for layer in LAYERS], 1))


def _select(features: Features, split: str) -> FrozenFeatures:
    photos, captions = features.photos_of(split), features.captions_of(split)
    # Equal captions have one number, as equal words have the same tokens.
    _, words = np.unique(features.captions, return_inverse=True)
    return FrozenFeatures(
        _join_layers(features, photos)[:, None],
        torch.from_numpy(features.deep_texts[captions]),
        torch.from_numpy(np.searchsorted(photos, features.photo_of_caption[captions])),
        torch.from_numpy(words[captions])[:, None],
    )


@torch.inference_mode()
def measure_pair(
    pair: tuple[nn.Module, nn.Module], features: Features, split: str, num_photos: int | None = None
) -> Measured:
    """Return the retrieval of a tower of texts and one of videos on a split, or on its first photos."""
    text, video = pair
    photos = features.photos_of(split)[:num_photos]
    captions = np.flatnonzero(np.isin(features.photo_of_caption, photos))
    images = normalize(video(_join_layers(features, photos)))
    texts = normalize(text(torch.from_numpy(features.deep_texts[captions])))
    rows = np.searchsorted(photos, features.photo_of_caption[captions])
    return measure_similarity(images @ texts.T, rows, features.photos[photos])


def measure_seeds(
    features: Features,
    store: ResultStore,
    seeds: Iterable[int],
    tests: Mapping[str, tuple[str, int | None]],
    tell: Callable[[str], None] = print,
) -> None:
    """Fit the head with every seed that has no result, and keep what it reaches.

    Args:
        features: of all splits.
        store: of the results.
        seeds: of the fits.
        tests: name of a test -> split and number of its first photos.
        tell: told the progress.
    """
    for seed in seeds:
        if all(store.has(SYSTEM, test, seed) for test in tests):
            continue
        begin = time.perf_counter()
        head = fit_head(features, seed)
        minutes = {"features": features.seconds / 60, "training": (time.perf_counter() - begin) / 60}
        tell(f"    {SYSTEM}, seed {seed}: {minutes['training']:.1f} min")
        keep_head(head, features, store, seed, tests, minutes, describe_machine("cpu"))


def keep_head(
    head: TowersHead,
    features: Features,
    store: ResultStore,
    seed: int,
    tests: Mapping[str, tuple[str, int | None]],
    minutes: Mapping[str, float],
    machine: str,
) -> None:
    """Keep what a fitted head reaches, and its linear member alone, which no seed changes."""
    pairs = {SYSTEM: (seed, (head.text, head.video), "first_stage.yaml; the dot product alone ranks")}
    if head.has_linear_member:
        pairs[LINEAR] = 0, head.members[-1], "the linear member of the towers alone"
    for system, (number, pair, note) in pairs.items():
        for test, (split, count) in tests.items():
            outcomes = measure_pair(pair, features, split, count).outcomes
            store.keep(Result(system, test, number, outcomes, minutes, machine, note))
