"""Fits the contrastive head to the network as it is loaded, before the first update.

What stays the same is computed once: the mean features of every medium and the mean rows of every text of the training
split. Steps on them cost a thousandth of a training step, so that batches may be large and epochs many.
"""

# pyright: reportUnknownMemberType=false
# PyTorch's own annotations are partial.
from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.network import ClipBertNetwork, DatasetNetwork
from clipbert_mmf.modules.contrastive import TowersHead, average_features, average_words, normalize
from clipbert_mmf.optim.schedules import make_warmup_schedule
from clipbert_mmf.scoring.contrastive import contrastive_loss
from clipbert_mmf.scoring.gathering import as_gathered
from clipbert_mmf.training.distributed import (
    broadcast_from_rank_0,
    gather_everywhere,
    get_rank,
    get_world_size,
)
from clipbert_mmf.training.host import Host
from clipbert_mmf.training.loaders import rebuild_loader, tell_epoch
from clipbert_mmf.training.logging import format_seconds, show_progress
from clipbert_mmf.training.options import FirstStageOptions
from clipbert_mmf.training.retrieval_evaluation import MediaOnly
from clipbert_mmf.training.run import Run
from clipbert_mmf.training.seeding import seed_all

logger = logging.getLogger(__name__)

_TEXTS_PER_BATCH = 256
_WARMUP_SHARE = 0.05
#: Concentration of the random means of texts: below 1 one of them is most of each.
_MIXING = 0.3
#: Matches and wrong pairs that place the midpoint of joined scores.
_NUM_PLACED = 2000


@dataclass(frozen=True)
class FrozenFeatures:
    """The training split as the frozen network sees it.

    Attributes:
        media: ``(M, views * K, C)`` float32, clips of every medium that could be read.
        texts: ``(N, D)`` float32.
        medium_of_text: ``(N,)`` int64, row of ``media``.
        input_ids: ``(N, L)`` int64, so that equal texts are known.
    """

    media: Tensor
    texts: Tensor
    medium_of_text: Tensor
    input_ids: Tensor


def fit_first_stage(run: Run, host: Host) -> None:
    """Fit the contrastive head of the run's model; every process must call it.

    Raises:
        ConfigurationError: if the model has no head that can be fitted, or no training split for it.
    """
    options, begin = run.options.first_stage, time.monotonic()
    if run.options.parallel.sharding == "full":
        raise ConfigurationError(
            "training.first_stage.epochs is above 0 with training.sharding=full, which splits the head's weights; set "
            "training.sharding=optimizer"
        )
    found = {name: host.find_network(name) for name in run.data.loaders}
    networks = {
        name: network for name, network in found.items() if network and network.contrastive is not None
    }
    heads = [network.contrastive for network in networks.values()]
    if not heads or not isinstance(heads[0], TowersHead):
        raise ConfigurationError(
            "training.first_stage.epochs is above 0, and the model has no contrastive head that reads the frozen "
            "networks; set model_config.clipbert.contrastive.weight=1 and .type=towers, or "
            "training.first_stage.epochs=0"
        )
    sizes = {
        name: max(1, stream.global_batch_size // get_world_size())
        for name, stream in zip(run.data.loaders, run.data.order.streams, strict=True)
    }
    parts = [
        _compute_features(run, host, name, network, run.data.loaders[name], sizes[name])
        for name, network in networks.items()
    ]
    features = _join_parts(parts)
    logger.info(
        "first stage: features of %d media and %d texts after %s",
        len(features.media),
        len(features.texts),
        format_seconds(time.monotonic() - begin),
    )
    # Every process fits the same; the first one's result counts.
    seed_all(run.seed, "first stage")
    # fp16 needs a scaler of gradients, which steps this cheap are not worth.
    autocast = run.precision.autocast if run.precision.name == "bf16" else nullcontext
    with as_gathered():
        fit_towers(heads[0], features, options, run.device, autocast)
    state = broadcast_from_rank_0({name: value.cpu() for name, value in heads[0].state_dict().items()})
    heads[0].load_state_dict(state)
    logger.info("first stage: done after %s", format_seconds(time.monotonic() - begin))


def fit_towers(
    head: TowersHead,
    features: FrozenFeatures,
    options: FirstStageOptions,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> None:
    """Fit a head to frozen features with the symmetric InfoNCE loss; its parameters change in place.

    Args:
        head: on ``device``.
        features: on the CPU.
        options: say how long, and how fast.
        device: where it is computed.
        autocast: entered anew in every step, as it keeps the weights that it has cast until it is left.
    """
    moved = FrozenFeatures(*(value.to(device) for value in vars(features).values()))
    head.standardize_inputs(moved.texts, moved.media)
    draw = _DRAWS[options.texts](moved)
    size = min(options.batch_size, draw.length)
    total = options.epochs * math.ceil(draw.length / size)
    learning = head.members
    if head.has_linear_member:
        _fit_linear_member(learning.pop(), moved, options.ridge)
    values = [value for pair in learning for tower in pair for value in tower.parameters()]
    decayed = [value for value in values if value.dim() > 1]
    others = [*(value for value in values if value.dim() <= 1), head.log_scale]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": options.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=options.lr,
    )
    schedule = make_warmup_schedule(optimizer, "cosine", total, _WARMUP_SHARE)
    was_training = head.training
    head.train()
    for epoch in range(1, options.epochs + 1 if learning else 1):
        losses: list[Tensor] = []
        order = torch.randperm(draw.length).to(device)
        for start in range(0, draw.length, size):
            with autocast():
                loss = _contrast(head, learning, moved, *draw(order[start : start + size]))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise RuntimeError(
                f"first stage: the loss is {mean} in epoch {epoch}; set training.first_stage.lr lower than "
                f"{options.lr:g}"
            )
        logger.info("first stage: epoch %d of %d, loss %.4f", epoch, options.epochs, mean)
    head.train(was_training)
    if head.midpoint is not None:
        _place_midpoint(head, moved)


class _EachText:
    """Draws every text once in an epoch.

    Args:
        features: on the device of the computation.

    Attributes:
        length: drawings of an epoch.
    """

    def __init__(self, features: FrozenFeatures):
        self.features = features
        self.length = len(features.texts)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features of texts ``(B, D)``, words ``(B, L)`` and media ``(B,)`` for numbers below ``length``."""
        features = self.features
        return features.texts[rows], features.input_ids[rows], features.medium_of_text[rows]


class _OneText(_EachText):
    """Draws every medium once in an epoch, with a random one of its texts."""

    def __init__(self, features: FrozenFeatures):
        super().__init__(features)
        counts = torch.bincount(features.medium_of_text, minlength=len(features.media))
        # Texts of each medium side by side, those of the others as -1.
        order = features.medium_of_text.argsort(stable=True)
        starts = counts.cumsum(0) - counts
        places = torch.arange(int(counts.max()), device=counts.device)
        inside = places < counts[:, None]
        rows = torch.where(inside, starts[:, None] + places, 0)
        self.texts_of_medium = torch.where(inside, order[rows], -1)[counts > 0]
        self.media = torch.nonzero(counts)[:, 0]
        self.length = len(self.media)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same as of ``_EachText``."""
        weights, texts = self.weigh(rows)
        chosen = texts.gather(1, weights.argmax(1, keepdim=True))[:, 0]
        features = self.features
        return self.mix(weights, texts, chosen), features.input_ids[chosen], self.media[rows]

    def weigh(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return random weights ``(B, N)``, 0 where a medium has no further text, and the rows of the texts."""
        texts = self.texts_of_medium[rows]
        # Weights as of a Dirichlet distribution: gamma variables over their sum.
        shape = torch.full(texts.shape, _MIXING)
        drawn = torch.distributions.Gamma(shape, 1.0).sample().clamp(min=1e-6).to(texts.device)
        drawn = drawn.masked_fill(texts < 0, 0.0)
        return drawn / drawn.sum(1, keepdim=True), texts.clamp(min=0)

    def mix(self, weights: Tensor, texts: Tensor, chosen: Tensor) -> Tensor:
        """Return the features ``(B, D)`` that stand for the texts of each medium."""
        return self.features.texts[chosen]


class _MixedTexts(_OneText):
    """Draws every medium once in an epoch, with a random mean of its texts."""

    def mix(self, weights: Tensor, texts: Tensor, chosen: Tensor) -> Tensor:
        """Return the weighted means."""
        return (self.features.texts[texts] * weights[..., None]).sum(1)


#: Value of ``training.first_stage.texts`` -> what an epoch passes over.
_DRAWS: dict[str, type[_EachText]] = {"each": _EachText, "one": _OneText, "mixed": _MixedTexts}


def _contrast(
    head: TowersHead,
    members: list[tuple[nn.Module, nn.Module]],
    features: FrozenFeatures,
    texts: Tensor,
    words: Tensor,
    media: Tensor,
) -> Tensor:
    """Return the mean of the losses of members, each on its own."""
    clips = features.media[media]
    if clips.shape[1] > 1:  # one of the readings of each
        chosen = torch.randint(clips.shape[1], (len(media),), device=media.device)
        clips = clips[torch.arange(len(media), device=media.device), chosen][:, None]
    losses = [
        contrastive_loss(
            text_embeddings=normalize(text(texts))[:, None],
            video_embeddings=normalize(video(clips).mean(1)),
            scale=head.scale,
            targets=torch.ones(len(media), 1, dtype=torch.int64, device=media.device),
            input_ids=words[:, None],
            item_index=media,
            media_index=media,
        )
        for text, video in members
    ]
    return torch.stack(losses).mean()


@torch.no_grad()
def _fit_linear_member(member: tuple[nn.Module, nn.Module], features: FrozenFeatures, ridge: float) -> None:
    """Set two linear towers to the directions in which texts and media correlate, each weighted by its correlation.

    Regularised canonical correlation analysis (Vinod 1976), in float64.
    """
    sides = [cast(nn.Sequential, tower) for tower in member]
    media = sides[1][0](features.media).double().mean(1)[features.medium_of_text]
    rows = [sides[0][0](features.texts).double(), media]
    means = [one.mean(0) for one in rows]
    centered = [one - mean for one, mean in zip(rows, means, strict=True)]
    whitening = [_whiten(one, ridge) for one in centered]
    across = whitening[0].T @ (centered[0].T @ centered[1] / len(media)) @ whitening[1]
    left, correlations, right = cast(
        tuple[Tensor, Tensor, Tensor], torch.linalg.svd(across, full_matrices=False)
    )
    for tower, directions, mean, whiten in zip(sides, (left, right.T), means, whitening, strict=True):
        layer = cast(nn.Linear, tower[1])
        count = min(len(correlations), layer.out_features)
        weight: Tensor = ((whiten @ directions)[:, :count] * correlations[:count]).T
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[:count] = weight.to(layer.weight.dtype)
        layer.bias[:count] = -(weight @ mean).to(layer.bias.dtype)


def _whiten(rows: Tensor, ridge: float) -> Tensor:
    """Return ``(C, C)`` that gives centred rows ``(N, C)`` variance 1 in all directions but those with little."""
    values, vectors = cast(tuple[Tensor, Tensor], torch.linalg.eigh(rows.T @ rows / len(rows)))
    return vectors / (values + ridge * values.mean()).sqrt()


@torch.no_grad()
def _place_midpoint(head: TowersHead, features: FrozenFeatures) -> None:
    """Put the midpoint of joined scores between a match and the likeliest of the other texts' media."""
    rows = torch.randperm(len(features.texts))[:_NUM_PLACED].to(features.texts.device)
    media = features.medium_of_text[rows]
    head_was_training = head.training
    head.eval()
    texts = normalize(head.text(features.texts[rows]))
    videos = normalize(head.video(features.media[media]).mean(1))
    dots = texts @ videos.T
    wrong = dots.masked_fill(media[:, None] == media[None], -torch.inf).amax(1)
    right = dots.diagonal()
    placed = (right + wrong).masked_select(wrong > -torch.inf) / 2
    if head.midpoint is not None and len(placed):
        head.midpoint.fill_(float(placed.median()))
    head.train(head_was_training)


@torch.no_grad()
def _compute_features(
    run: Run, host: Host, name: str, network: DatasetNetwork, loader: DataLoader[Any], batch_size: int
) -> FrozenFeatures:
    """Read every medium of a training split, and every text, through the network as it is."""
    dataset: Any = loader.dataset
    maker = dataset.maker
    whole: ClipBertNetwork = network.network
    was_training = run.model.training
    run.model.eval()
    # One item of each segment stands for its medium.
    item_of_segment: dict[int, int] = {}
    for item in range(len(maker)):
        item_of_segment.setdefault(maker.segment_index(item), item)
    segments = sorted(item_of_segment)[get_rank() :: get_world_size()]
    items = [item_of_segment[segment] for segment in segments]

    def read_share() -> dict[int, list[Tensor]]:
        rows: dict[int, list[Tensor]] = {}
        for view in range(run.options.first_stage.views):
            tell_epoch(dataset, view)
            host.set_globals(current_epoch=view)
            sampler = BatchSampler(SequentialSampler(items), batch_size, False)
            views = rebuild_loader(loader, sampler, run.options.workers, MediaOnly(dataset, items))
            read = run.interrupts.read(views)
            title = f"first stage, {name}, reading {view + 1} of {run.options.first_stage.views}"
            place = 0
            for batch in show_progress(read, len(views), title, enabled=get_rank() == 0):
                prepared = host.prepare_batch(batch, dataset, name, "train")
                frames = prepared.frames
                with run.precision.autocast():
                    grids = whole.backbone(frames.flatten(0, 2)).unflatten(0, frames.shape[:3])
                means = average_features(grids).cpu()
                for row, readable in zip(means, prepared.readable.tolist(), strict=True):
                    if readable:
                        rows.setdefault(segments[place], []).append(row)
                    place += 1
        return rows

    found: dict[int, list[Tensor]] = {}
    for part in gather_everywhere(run.interrupts.run_share(read_share)):
        found.update(part)
    views = run.options.first_stage.views
    found = {segment: rows for segment, rows in sorted(found.items()) if len(rows) == views}
    if not found:
        raise ConfigurationError(f"first stage: no medium of the training split of '{name}' can be read")
    media = torch.stack([torch.cat(rows) for rows in found.values()])
    row_of_segment = {segment: row for row, segment in enumerate(found)}
    records = maker.records
    segment_of_row = maker.groups.segment_of_row.tolist()
    kept = [row for row, segment in enumerate(segment_of_row) if segment in row_of_segment]
    tokens = maker.text_processor([records.text(row) for row in kept])
    texts: list[Tensor] = []
    for start in range(0, len(kept), _TEXTS_PER_BATCH):
        ids, mask, types = (x[start : start + _TEXTS_PER_BATCH].to(run.device) for x in tokens)
        length = max(1, int(mask.sum(1).max()))
        with run.precision.autocast():
            rows = whole.read_texts(ids[:, :length], mask[:, :length], types[:, :length])
        texts.append(average_words(rows, mask[:, :length]).cpu())
    run.model.train(was_training)
    medium = torch.tensor([row_of_segment[segment_of_row[row]] for row in kept])
    return FrozenFeatures(media, torch.cat(texts), medium, tokens.input_ids)


def _join_parts(parts: list[FrozenFeatures]) -> FrozenFeatures:
    """Return the features of several datasets as those of one."""
    if len(parts) == 1:
        return parts[0]
    length = max(part.input_ids.shape[1] for part in parts)
    clips = min(part.media.shape[1] for part in parts)
    first = 0
    rows: list[Tensor] = []
    for part in parts:
        rows.append(part.medium_of_text + first)
        first += len(part.media)
    pad = torch.nn.functional.pad
    return FrozenFeatures(
        torch.cat([part.media[:, :clips] for part in parts]),
        torch.cat([part.texts for part in parts]),
        torch.cat(rows),
        torch.cat([pad(part.input_ids, (0, length - part.input_ids.shape[1])) for part in parts]),
    )
