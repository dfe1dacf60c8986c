"""The paper's ablations on clips, each a change of one thing in the recipe ``clips.yaml``.

What the recipe freezes, everything up to the grid of stride 16, is computed once for eight places of every clip and their
mirror images. The rest is the network, the scores and the schedule of the package, so that 30 trainings take minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from clipbert_mmf.inference.settings import merge, read_yaml
from clipbert_mmf.models.build import build_network, freeze_parts
from clipbert_mmf.models.config import ModelConfig, parse_model_config
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.backbones.pixels import normalize_pixels
from clipbert_mmf.optim.param_groups import make_param_groups
from clipbert_mmf.optim.schedules import make_warmup_schedule
from clipbert_mmf.scoring.objectives import choice_loss
from clipbert_mmf.scoring.outcomes import Outcomes
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.transforms.tokens import encode_texts, load_tokenizer
from clipbert_mmf.video.clips import ClipOptions, ClipReader
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.weights.loading import load_weights
from real_benchmark.clips import NUM_PROBE_CLIPS, NUM_TEST_CLIPS, Actions, split_groups
from real_benchmark.flickr8k import RECIPES_OF_PART, Flickr8k
from real_benchmark.material import Material
from real_benchmark.runs import RECIPES, Runner
from real_benchmark.systems import ResultStore

#: Name of the results, beside those of whole trainings.
TEST = "20 sentences, trends"
#: Places of a clip whose grids are kept, and those that a test with fewer clips reads.
NUM_PLACES = 8
_TEST_PLACES = {1: [4], 2: [2, 6], 4: [1, 3, 5, 7], 8: list(range(8))}
#: Stages of Lite0 behind the grid of stride 16.
_UPPER = 5


@dataclass(frozen=True)
class Variant:
    """One row: the recipe with one thing changed.

    Attributes:
        system: its name in tables.
        note: the setting.
        changes: of ``model_config.clipbert``.
        start: photos, imagenet (and MiniLM), or random.
        num_clips: clips of a training item.
        is_dense: whether they lie at fixed places.
    """

    system: str
    note: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    start: str = "photos"
    num_clips: int = 2
    is_dense: bool = False


BASE = Variant("the recipe", "2 sparse random clips, lse, from the first stage, stages behind stride 16 train")
_NEW_TOWERS = {"contrastive": {"inputs": "layer_norm"}}
VARIANTS: tuple[Variant, ...] = (
    BASE,
    Variant("frozen backbone", "the towers alone train", {"freeze": {"backbone": True}}),
    Variant("fold mean", changes={"fold": "mean"}),
    Variant("fold max", changes={"fold": "max"}),
    Variant("1 sparse random clip", num_clips=1),
    Variant("4 dense uniform clips", num_clips=4, is_dense=True),
    Variant("from ImageNet and MiniLM", "no captioned photos, new towers", _NEW_TOWERS, start="imagenet"),
    Variant("from random weights", "nothing pre-trained, new towers", _NEW_TOWERS, start="random"),
)


class UpperStages(nn.Module):
    """The stages of Lite0 behind the grid of stride 16.

    Args:
        backbone: a ``TimmFeatures`` of Lite0 with ``out_stage: final_and_last``.
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.whole: Any = backbone

    def forward(self, grids: Tensor) -> Tensor:
        """Return ``(F, 1600, 7, 7)`` for grids ``(F, 112, 14, 14)``."""
        model = self.whole.net.model
        x = grids.float().contiguous(memory_format=torch.channels_last)
        for stage in model.blocks[_UPPER:]:
            x = stage(x)
        return torch.cat([model.forward_head(model.bn2(model.conv_head(x))), x], 1)

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> Tensor:
        """Return grids ``(F, 112, 14, 14)`` of half precision for uint8 frames ``(F, 3, H, W)``."""
        model = self.whole.net.model
        x = normalize_pixels(frames, self.whole.pixel_mean, self.whole.pixel_std, is_bgr=False)
        x = model.bn1(model.conv_stem(x))
        for stage in model.blocks[:_UPPER]:
            x = stage(x)
        return x.half()


@dataclass(frozen=True)
class Trends:
    """Trains and tests the variants.

    Attributes:
        actions: clips, and weights of the first stage by seed.
        kept: file of the grids.
    """

    actions: Actions
    kept: Path

    def measure(self, variant: Variant) -> None:
        """Train a variant on either half of the groups with every seed, and test it on the other half."""
        clips = self.actions.clips
        sentences = sorted({clip.text for clip in clips})
        labels = torch.tensor([sentences.index(clip.text) for clip in clips])
        recipe = read_yaml(RECIPES / "clips.yaml")
        text = recipe["dataset_config"]["msrvtt_mc"]["processors"]["text_processor"]["params"]
        tokens = encode_texts(load_tokenizer(text["tokenizer"]), sentences, text["max_length"])
        keys = [[clip.key for clip in half] for half in split_groups(clips)]
        halves = [torch.tensor([clip.key in set(half) for clip in clips]).nonzero()[:, 0] for half in keys]
        for seed in self.actions.weights:
            begin = time.process_time()
            found: dict[int, list[dict[str, Outcomes]]] = {}
            for own, other in (halves, halves[::-1]):
                network, config = self.build(variant, recipe, seed)
                grids = self.read_grids(network, variant.start == "random")
                train(network, config, variant, recipe, grids[own], labels[own], tokens)
                names = np.array([clips[row].key for row in other.tolist()])
                for count in NUM_TEST_CLIPS if variant is BASE else (NUM_PROBE_CLIPS,):
                    right = choose(network, grids[other], tokens, count) == labels[other]
                    one = Outcomes(right.double().numpy(), names, title="accuracy", is_share=True)
                    found.setdefault(count, []).append({"accuracy": one})
            minutes = {"training and test, CPU time": (time.process_time() - begin) / 60}
            for count, parts in found.items():
                name = variant.system if count == NUM_PROBE_CLIPS else f"{variant.system}, N_test {count}"
                self.actions.keep(name, seed, parts, minutes, variant.note, TEST)

    def build(
        self, variant: Variant, recipe: Mapping[str, Any], seed: int
    ) -> tuple[ClipBertNetwork, ModelConfig]:
        """Return the network where its training begins, and its configuration."""
        config = parse_model_config(merge(recipe["model_config"]["clipbert"], variant.changes))
        torch.manual_seed(seed)
        network = build_network(config)
        if variant.start == "imagenet":
            for part in ("backbone", "transformer"):
                load_weights(network, str(getattr(config.weights, part)), part)
        elif variant.start == "photos":
            load_weights(network, str(self.actions.weights[seed]), "clipbert")
        freeze_parts(network, config.freeze.backbone, config.freeze.transformer)
        network.backbone = UpperStages(network.backbone)
        return network, config

    def read_grids(self, network: ClipBertNetwork, is_random: bool) -> Tensor:
        """Return grids ``(clips, 2 * NUM_PLACES, 112, 14, 14)``, mirror images last; a trained network's are kept."""
        if self.kept.is_file() and not is_random:
            return torch.load(self.kept, weights_only=True)
        options = ClipOptions(image_size=224, num_clips=NUM_PLACES, num_frames=1, sampling="uniform")
        reader, store = ClipReader(options), open_store(self.actions.material.clips, media="video")
        upper, rows = cast(UpperStages, network.backbone).eval(), list[Tensor]()
        for clip in self.actions.clips:
            source = store.find(clip.key)
            assert source is not None, clip.key
            frames = reader.read_source(source, key=clip.key).frames.flatten(0, 1)
            rows.append(upper.encode(torch.cat([frames, frames.flip(-1)])))
        grids = torch.stack(rows)
        if not is_random:
            torch.save(grids, self.kept)
        return grids


def train(
    network: ClipBertNetwork,
    config: ModelConfig,
    variant: Variant,
    recipe: Mapping[str, Any],
    grids: Tensor,
    labels: Tensor,
    tokens: TokenBatch,
) -> None:
    """Train a network as the recipe says, on grids instead of frames; it changes in place."""
    training, params = recipe["training"], recipe["optimizer"]["params"]
    groups = make_param_groups(network, params["lr"], params["weight_decay"], vars(config.learning_rate_factors))
    optimizer = torch.optim.AdamW(groups, betas=tuple(params["betas"]))
    schedule = make_warmup_schedule(optimizer, "cosine", training["max_updates"])
    network.train()
    order: list[int] = []
    for _ in range(training["max_updates"]):
        order = order or torch.randperm(len(labels)).tolist()
        rows, order = order[: training["batch_size"]], order[training["batch_size"] :]
        places = torch.stack([_draw_places(variant) for _ in rows])
        batch = grids[torch.tensor(rows)[:, None], places][:, :, None]
        loss = choice_loss(_score(network, batch, tokens), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()


def _draw_places(variant: Variant) -> Tensor:
    """Return the places of a training item, in its mirror image every other time."""
    if variant.is_dense:
        places = torch.tensor(_TEST_PLACES[variant.num_clips])
    else:
        places = torch.randperm(NUM_PLACES)[: variant.num_clips]
    return places + NUM_PLACES * int(torch.randint(2, ()))


@torch.inference_mode()
def choose(network: ClipBertNetwork, grids: Tensor, tokens: TokenBatch, num_clips: int) -> Tensor:
    """Return the sentence ``(B,)`` of each clip."""
    read = grids[:, _TEST_PLACES[num_clips], None]
    return torch.cat([_score(network, part, tokens).argmax(1) for part in read.split(8)])


def _score(network: ClipBertNetwork, grids: Tensor, tokens: TokenBatch) -> Tensor:
    texts = (part.expand(len(grids), *part.shape) for part in tokens)
    return network(grids, *texts)["scores"]


def run_part(part: str, material: Material, options: argparse.Namespace) -> None:
    """Measure all variants, with the first stages that are trained before."""
    del part
    store, runner = ResultStore(material.work / "results"), Runner(material.work / "runs", options.device)
    photos, recipes = Flickr8k(material, store, runner), RECIPES_OF_PART["first"]
    weights = {seed: photos.train(recipes[0], seed, recipes).weights for seed in range(1, options.seeds + 1)}
    trends = Trends(Actions(material, store, runner, weights), material.work / "grids.pt")
    for variant in VARIANTS:
        trends.measure(variant)
