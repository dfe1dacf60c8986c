"""The paper's ablations on clips, each a change of one thing in the recipe ``clips.yaml`` with a frozen backbone.

What is frozen is computed once for eight places of every clip and their mirror images: mean features, and for the row
that trains the upper stages the grid of stride 16. Towers, scores, folds and schedule are those of the package.
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
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import ModelConfig, parse_model_config
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.backbones.pixels import normalize_pixels
from clipbert_mmf.modules.contrastive import TowersHead, average_words, normalize
from clipbert_mmf.optim.param_groups import make_param_groups
from clipbert_mmf.optim.schedules import make_warmup_schedule
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.scoring.objectives import choice_loss
from clipbert_mmf.scoring.outcomes import Outcomes
from clipbert_mmf.scoring.ranking import rate_options
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
        trains_backbone: whether the stages of the backbone that the recipe trains do so.
    """

    system: str
    note: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    start: str = "photos"
    num_clips: int = 2
    is_dense: bool = False
    trains_backbone: bool = False


BASE = Variant("towers on a frozen backbone", "2 sparse random clips, lse, from the first stage")
_NEW_TOWERS = {"contrastive": {"inputs": "layer_norm"}}
VARIANTS: tuple[Variant, ...] = (
    BASE,
    Variant("fold mean", changes={"fold": "mean"}),
    Variant("fold max", changes={"fold": "max"}),
    Variant("1 sparse random clip", num_clips=1),
    Variant("8 dense uniform clips", "at fixed places", num_clips=8, is_dense=True),
    Variant("from ImageNet and MiniLM", "no captioned photos, new towers", _NEW_TOWERS, start="imagenet"),
    Variant(
        "from random weights",
        "nothing pre-trained, new towers; the lower stages stay random",
        _NEW_TOWERS,
        start="random",
    ),
    Variant("end to end", "the stages behind stride 16 train too, at 1e-5", trains_backbone=True),
    Variant(
        "end to end, faster",
        "the same at 1e-4",
        {"learning_rate_factors": {"backbone": 0.5}},
        trains_backbone=True,
    ),
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

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Return grids ``(F, 112, 14, 14)`` of half precision for uint8 frames ``(F, 3, H, W)``."""
        model = self.whole.net.model
        x = normalize_pixels(frames, self.whole.pixel_mean, self.whole.pixel_std, is_bgr=False)
        x = model.bn1(model.conv_stem(x))
        for stage in model.blocks[:_UPPER]:
            x = stage(x)
        return x.half()


@dataclass(frozen=True)
class Frozen:
    """What never changes.

    Attributes:
        features: ``(clips, 2 * NUM_PLACES, C)`` float32, means over the places of a grid; mirror images last.
        grids: ``(clips, 2 * NUM_PLACES, 112, 14, 14)`` half precision, of stride 16.
        texts: ``(sentences, D)`` mean rows of the sentences.
    """

    features: Tensor
    grids: Tensor
    texts: Tensor


class Matcher(nn.Module):
    """Scores clips against the sentences, from what is frozen.

    Args:
        network: has the towers and the backbone.
        frozen: of this network as it is loaded.
        fold: how the scores of clips become one.
        trains_backbone: whether features are computed from grids.
    """

    def __init__(self, network: ClipBertNetwork, frozen: Frozen, fold: str, trains_backbone: bool):
        super().__init__()
        self.contrastive = cast(TowersHead, network.contrastive)
        # Named as in the network, whose parameter groups go by names.
        self.backbone = UpperStages(network.backbone) if trains_backbone else None
        self.frozen, self.fold = frozen, fold

    def forward(self, rows: Tensor, places: Tensor) -> Tensor:
        """Return scores ``(B, sentences)`` of clips ``(B,)`` at places ``(B, K)``."""
        if self.backbone is None:
            features = self.frozen.features[rows[:, None], places]
        else:
            grids = self.frozen.grids[rows[:, None], places]
            features = self.backbone(grids.flatten(0, 1)).mean((2, 3)).unflatten(0, places.shape)
        clips = self.contrastive.video(features)
        texts = normalize(self.contrastive.text(self.frozen.texts))
        scores = self.contrastive.compare(clips.repeat_interleave(len(texts), 0), texts.repeat(len(clips), 1))
        return rate_options(fold_clips(scores, self.fold)).unflatten(0, (len(clips), -1))


@dataclass(frozen=True)
class Trends:
    """Trains and tests the variants.

    Attributes:
        actions: clips, and weights of the first stage by seed.
        kept: file of what is frozen.
    """

    actions: Actions
    kept: Path

    def measure(self, variant: Variant) -> None:
        """Train a variant on either half of the groups with every seed, and test it on the other half."""
        clips = self.actions.clips
        sentences = sorted({clip.text for clip in clips})
        labels = torch.tensor([sentences.index(clip.text) for clip in clips])
        recipe = read_yaml(RECIPES / "clips.yaml")
        keys = [{clip.key for clip in half} for half in split_groups(clips)]
        halves = [torch.tensor([clip.key in half for clip in clips]).nonzero()[:, 0] for half in keys]
        for seed in self.actions.weights:
            begin = time.process_time()
            found: dict[int, list[dict[str, Outcomes]]] = {}
            frozen: Frozen | None = None
            for own, other in (halves, halves[::-1]):
                network, config = self.build(variant, recipe, seed)
                frozen = frozen or self.read_frozen(network, recipe, sentences, variant.start == "random")
                matcher = Matcher(network, frozen, config.fold, variant.trains_backbone)
                train(matcher, config, variant, recipe, own, labels)
                names = np.array([clips[row].key for row in other.tolist()])
                for count in NUM_TEST_CLIPS if variant is BASE else (NUM_PROBE_CLIPS,):
                    right = choose(matcher, other, count) == labels[other]
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
        return network.eval(), config

    @torch.no_grad()
    def read_frozen(
        self, network: ClipBertNetwork, recipe: Mapping[str, Any], sentences: list[str], is_random: bool
    ) -> Frozen:
        """Return what is frozen; that of trained networks, which is the same for all, is kept in a file."""
        if self.kept.is_file() and not is_random:
            return Frozen(**torch.load(self.kept, weights_only=True))
        text = recipe["dataset_config"]["msrvtt_mc"]["processors"]["text_processor"]["params"]
        tokens = encode_texts(load_tokenizer(text["tokenizer"]), sentences, text["max_length"])
        texts = average_words(network.read_texts(*tokens), tokens.input_mask)
        options = ClipOptions(image_size=224, num_clips=NUM_PLACES, num_frames=1, sampling="uniform")
        reader, store = ClipReader(options), open_store(self.actions.material.clips, media="video")
        upper, grids, features = UpperStages(network.backbone), list[Tensor](), list[Tensor]()
        for clip in self.actions.clips:
            source = store.find(clip.key)
            assert source is not None, clip.key
            frames = reader.read_source(source, key=clip.key).frames.flatten(0, 1)
            grids.append(upper.encode(torch.cat([frames, frames.flip(-1)])))
            features.append(upper(grids[-1]).mean((2, 3)))
        frozen = {"features": torch.stack(features), "grids": torch.stack(grids), "texts": texts}
        if not is_random:
            torch.save(frozen, self.kept)
        return Frozen(**frozen)


def train(
    matcher: Matcher,
    config: ModelConfig,
    variant: Variant,
    recipe: Mapping[str, Any],
    clips: Tensor,
    labels: Tensor,
) -> None:
    """Train towers as the recipe says, on some of the clips; they change in place."""
    training, params = recipe["training"], recipe["optimizer"]["params"]
    groups = make_param_groups(
        matcher, params["lr"], params["weight_decay"], vars(config.learning_rate_factors)
    )
    optimizer = torch.optim.AdamW(groups, betas=tuple(params["betas"]))
    schedule = make_warmup_schedule(optimizer, "cosine", training["max_updates"])
    matcher.train()
    order: list[int] = []
    for _ in range(training["max_updates"]):
        order = order or clips[torch.randperm(len(clips))].tolist()
        rows, order = torch.tensor(order[: training["batch_size"]]), order[training["batch_size"] :]
        places = torch.stack([_draw_places(variant) for _ in rows])
        loss = choice_loss(matcher(rows, places), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    matcher.eval()


def _draw_places(variant: Variant) -> Tensor:
    """Return the places of a training item, in its mirror image every other time."""
    if variant.is_dense:
        places = torch.tensor(_TEST_PLACES[variant.num_clips])
    else:
        places = torch.randperm(NUM_PLACES)[: variant.num_clips]
    return places + NUM_PLACES * int(torch.randint(2, ()))


@torch.inference_mode()
def choose(matcher: Matcher, clips: Tensor, num_clips: int) -> Tensor:
    """Return the sentence ``(B,)`` of each clip."""
    places = torch.tensor(_TEST_PLACES[num_clips])
    return torch.cat([matcher(rows, places.expand(len(rows), -1)).argmax(1) for rows in clips.split(8)])


def run_part(part: str, material: Material, options: argparse.Namespace) -> None:
    """Measure all variants, with the first stages that are trained before."""
    del part
    store, runner = ResultStore(material.work / "results"), Runner(material.work / "runs", options.device)
    photos, recipes = Flickr8k(material, store, runner), RECIPES_OF_PART["first"]
    weights = {seed: photos.train(recipes[0], seed, recipes).weights for seed in range(1, options.seeds + 1)}
    trends = Trends(Actions(material, store, runner, weights), material.work / "frozen_clips.pt")
    for variant in VARIANTS:
        trends.measure(variant)
