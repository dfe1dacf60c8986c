"""Embeds texts and videos on their own, so that a dot product finds candidates for the cross-encoder.

``RowsHead`` projects the cross-encoder's rows of a text without a video, and of clips without a text.
``TowersHead`` reads the two networks before they meet: mean features of the backbone, mean rows of the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Scale of dot products before training, and the largest one, as in CLIP (Radford et al. 2021, section 2.5).
_FIRST_SCALE, _LAST_SCALE = 1 / 0.07, 100.0
#: Below it an activation, or the deviation of one, counts as none.
_SMALL = 1e-4


class ContrastiveHead(nn.Module):
    """What both kinds share: the learned scale (inverse temperature) of dot products, and the joined score.

    Args:
        size: E, length of the embeddings.
        joins_scores: whether the dot product of a clip and a text is part of the pair's score.

    Attributes:
        num_summary_rows: rows that ``add_summary`` puts behind the visual tokens of each clip.
        reads_words: whether ``project_texts`` reads all rows of a text, or that of ``[CLS]`` alone.
        text_layers: layers whose rows it reads side by side, 0 for the embeddings; empty for the last alone.
    """

    num_summary_rows = 0
    reads_words = False
    text_layers: tuple[int, ...] = ()

    def __init__(self, size: int, joins_scores: bool = False):
        super().__init__()
        self.size = size
        self.log_scale = nn.Parameter(torch.tensor([math.log(_FIRST_SCALE)]))
        #: Dot product, before the scale, at which a pair is as likely to match as not.
        self.midpoint = nn.Parameter(torch.zeros(1)) if joins_scores else None

    @property
    def scale(self) -> Tensor:
        """Scale of dot products ``(1,)``, at most 100."""
        return self.log_scale.float().exp().clamp(max=_LAST_SCALE)

    def add_summary(self, visual: Tensor, features: Tensor) -> Tensor:
        """Return visual tokens ``(B, K, V, D)`` with ``num_summary_rows`` more.

        They are made from features ``(B, K, T, C, h, w)``.
        """
        return visual

    def split_summary(self, visual: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return visual tokens without the summary, and the summary ``(B, K, E)``; None where there is none."""
        return visual, None

    def project_texts(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return unit vectors ``(P, E)`` for rows of texts ``(P, L, D)`` and their mask ``(P, L)``."""
        raise NotImplementedError

    def project_videos(self, rows: Tensor) -> Tensor:
        """Return unit vectors ``(B, E)`` for visual rows ``(B, K, V, D)``, of a head without a summary."""
        raise NotImplementedError

    def join(self, scores: Tensor, clips: Tensor, texts: Tensor) -> Tensor:
        """Return match scores with the scaled dot products added to the logit of a match.

        Args:
            scores: ``(P, K, 2)``.
            clips: ``(P, K, E)``, not normalized.
            texts: ``(P, E)`` unit vectors.
        """
        added = self._scale_dots(clips, texts, self.scale.detach())
        return torch.stack([scores[..., 0], scores[..., 1] + added], -1)

    def compare(self, clips: Tensor, texts: Tensor) -> Tensor:
        """Return the match scores ``(P, K, 2)`` of dot products alone: 0, and the logit of a match.

        Args:
            clips: ``(P, K, E)``, not normalized.
            texts: ``(P, E)`` unit vectors.
        """
        logits = self._scale_dots(clips, texts, self.scale)
        return torch.stack([torch.zeros_like(logits), logits], -1)

    def _scale_dots(self, clips: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
        assert self.midpoint is not None
        return scale * ((normalize(clips) * texts[:, None]).sum(-1) - self.midpoint.float())


class RowsHead(ContrastiveHead):
    """Project the cross-encoder's rows: ``[CLS]`` of a text, the mean over clips and positions of a video.

    Args:
        hidden_size: D.
        size: E, length of the embeddings.
    """

    def __init__(self, hidden_size: int, size: int):
        super().__init__(size)
        self.text = nn.Linear(hidden_size, size)
        self.video = nn.Linear(hidden_size, size)

    def project_texts(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return unit vectors ``(P, E)`` for the rows of ``[CLS]`` in ``(P, L, D)``."""
        return normalize(self.text(rows[:, 0]))

    def project_videos(self, rows: Tensor) -> Tensor:
        """Return unit vectors ``(B, E)`` for visual rows ``(B, K, V, D)``."""
        return normalize(self.video(rows.mean((1, 2))))


class TowersHead(ContrastiveHead):
    """Project mean features of the backbone and mean rows of the text, each by two layers.

    The projected features of a clip travel behind its visual tokens, as rows of their own that the
    cross-encoder does not read.

    Args:
        channels: C of each of the backbone's layers that its grid holds side by side.
        hidden_size: D.
        size: E, length of the embeddings.
        width: of the layers between.
        dropout: share of their values that training drops.
        joins_scores: whether the dot product of a clip and a text is part of the pair's score.
        input_dropout: share of the inputs that training drops.
        inputs: a key of ``TOWER_INPUTS``.
        num_members: pairs of towers that learn on their own; an embedding holds ``size / num_members`` values of
            each, so that a dot product is the mean of theirs.
        has_linear_member: whether the last pair is linear; it weighs as much as all others together.
        text_layers: layers of the transformer that it reads, 0 for the embeddings; empty for the last alone.
    """

    reads_words = True

    def __init__(
        self,
        channels: Sequence[int],
        hidden_size: int,
        size: int,
        width: int,
        dropout: float,
        joins_scores: bool,
        input_dropout: float = 0.0,
        num_members: int = 1,
        inputs: str = "layer_norm",
        has_linear_member: bool = False,
        text_layers: Sequence[int] = (),
    ):
        super().__init__(size, joins_scores)
        self.text_layers = tuple(text_layers)
        own = size // num_members

        def make(blocks: Sequence[int], is_video: bool) -> nn.Module:
            towers: list[nn.Module] = []
            for number in range(num_members):
                is_linear = has_linear_member and number == num_members - 1
                first = TOWER_INPUTS[inputs](blocks, is_video, is_linear)
                towers.append(
                    nn.Sequential(first, nn.Linear(sum(blocks), own))
                    if is_linear
                    else make_tower(first, sum(blocks), width, own, dropout, input_dropout)
                )
            return towers[0] if num_members == 1 else Members(towers, has_linear_member)

        self.text = make([hidden_size] * max(1, len(self.text_layers)), False)
        self.video = make(channels, True)
        self.has_linear_member = has_linear_member
        self.hidden_size = hidden_size
        self.num_summary_rows = math.ceil(size / hidden_size)

    @property
    def members(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs of towers, of text and video; the linear one is the last."""
        if isinstance(self.text, Members) and isinstance(self.video, Members):
            return list(zip(self.text, self.video, strict=True))
        return [(self.text, self.video)]

    def standardize_inputs(self, texts: Tensor, media: Tensor) -> None:
        """Let inputs have mean 0 and deviation 1 over given ones, where the head standardizes them.

        Args:
            texts: ``(N, D)``, or as many D as layers are read.
            media: ``(M, K, C)``.
        """
        for tower, rows in ((self.text, texts), (self.video, media.flatten(0, 1))):
            for part in tower.modules():
                if isinstance(part, StandardizedInputs):
                    part.fit(rows)

    def add_summary(self, visual: Tensor, features: Tensor) -> Tensor:
        """Return visual tokens with the projected mean over frames and positions behind those of each clip."""
        with torch.autocast(visual.device.type, enabled=False):
            summary = self.video(average_features(features))
        padded = F.pad(summary, (0, self.num_summary_rows * self.hidden_size - self.size))
        rows = padded.unflatten(-1, (self.num_summary_rows, self.hidden_size))
        return torch.cat([visual, rows.to(visual.dtype)], 2)

    def split_summary(self, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Return visual tokens without the summary, and the summary ``(B, K, E)``."""
        rows = visual[:, :, -self.num_summary_rows :].flatten(2)
        return visual[:, :, : -self.num_summary_rows], rows[..., : self.size]

    def project_texts(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return unit vectors ``(P, E)`` for the mean of the rows ``(P, L, D)`` that are tokens."""
        return normalize(self.text(average_words(rows, mask)))


class Members(nn.ModuleList):
    """Towers side by side: the unit vectors of all of them in one row.

    Args:
        towers: at least two.
        has_linear: whether the last one is linear, and weighs as much as all others in a dot product.
    """

    def __init__(self, towers: Iterable[nn.Module], has_linear: bool):
        super().__init__(towers)
        self.factors = [1.0] * len(self)
        if has_linear:
            self.factors[-1] = math.sqrt(len(self) - 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return ``(..., members * E)`` for rows ``(..., C)``."""
        parts = [factor * normalize(tower(rows)) for factor, tower in zip(self.factors, self, strict=True)]
        return torch.cat(parts, -1)


class StandardizedInputs(nn.Module):
    """Give each block of inputs unit length, then each value mean 0 and deviation 1 over those it was fitted to.

    Args:
        blocks: lengths of the layers whose values stand side by side, C in all.
        takes_roots: whether the square root of each value comes first in blocks without negative values. Means
            of activations have few large values among many small ones.
        keeps_proportions: whether one factor scales all values of a block, so that all deviations together
            are 1, instead of each. Values that vary more then count more, as correlations want it.
    """

    mean: Tensor
    deviation: Tensor
    takes_root: Tensor

    def __init__(self, blocks: Sequence[int], takes_roots: bool, keeps_proportions: bool = False):
        super().__init__()
        self.blocks, self.takes_roots, self.keeps_proportions = list(blocks), takes_roots, keeps_proportions
        size = sum(blocks)
        self.register_buffer("mean", torch.zeros(size))
        # As if the values of a unit vector were alike in size.
        self.register_buffer("deviation", torch.cat([torch.full((n,), n**-0.5) for n in blocks]))
        self.register_buffer("takes_root", torch.full((size,), takes_roots))

    def forward(self, rows: Tensor) -> Tensor:
        """Return ``(..., C)`` for ``(..., C)``."""
        return (self._normalize(rows) - self.mean) / self.deviation

    def _normalize(self, rows: Tensor) -> Tensor:
        rows = rows.float()
        if self.takes_roots:
            # Shifted: a root has no derivative at 0, where activations often are.
            roots = rows.sign() * ((rows.abs() + _SMALL).sqrt() - _SMALL**0.5)
            rows = torch.where(self.takes_root, roots, rows)
        return torch.cat([normalize(block) for block in rows.split(self.blocks, -1)], -1)

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Take mean and deviation of rows ``(N, C)``, N at least 2."""
        blocks = rows.split(self.blocks, -1)
        self.takes_root.copy_(
            torch.cat(
                [torch.full_like(one[0], self.takes_roots and bool((one >= 0).all())) for one in blocks]
            )
        )
        deviation, mean = torch.std_mean(self._normalize(rows), 0, correction=0)
        if self.keeps_proportions:
            deviation = torch.cat([one.norm().expand_as(one) for one in deviation.split(self.blocks)])
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp(min=_SMALL))


#: Value of ``model_config.clipbert.contrastive.inputs`` -> makes the first layer of a tower from the lengths of the
#: layers side by side, whether they are a video's, and whether the tower is linear.
TOWER_INPUTS: dict[str, Callable[[Sequence[int], bool, bool], nn.Module]] = {
    "layer_norm": lambda blocks, is_video, is_linear: nn.LayerNorm(sum(blocks)),
    "standardized": StandardizedInputs,
}


def make_tower(
    inputs: nn.Module, width_in: int, width: int, width_out: int, dropout: float, input_dropout: float
) -> nn.Sequential:
    """Return a projection of two layers behind a layer that normalizes inputs."""
    return nn.Sequential(
        inputs,
        nn.Dropout(input_dropout),
        nn.Linear(width_in, width),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(width, width_out),
    )


def average_features(features: Tensor) -> Tensor:
    """Return ``(B, K, C)`` float32, the mean of ``(B, K, T, C, h, w)`` over frames and positions."""
    return features.float().mean((2, 4, 5))


def average_words(rows: Tensor, mask: Tensor) -> Tensor:
    """Return ``(P, D)`` float32, the mean of rows ``(P, L, D)`` where the mask ``(P, L)`` is 1."""
    weights = mask[..., None].float()
    return (rows.float() * weights).sum(1) / weights.sum(1).clamp(min=1)


def normalize(rows: Tensor) -> Tensor:
    """Return unit vectors in float32."""
    return F.normalize(rows.float(), dim=-1)


#: Value of ``model_config.clipbert.contrastive.type`` -> makes the head from C of each layer, D and the section.
CONTRASTIVE_HEADS: dict[str, Callable[[Sequence[int], int, Any], ContrastiveHead]] = {
    "rows": lambda channels, hidden_size, section: RowsHead(hidden_size, section.size),
    "towers": lambda channels, hidden_size, section: TowersHead(
        channels,
        hidden_size,
        section.size,
        section.width,
        section.dropout,
        section.joins_scores,
        section.dropout if section.input_dropout is None else section.input_dropout,
        section.num_members,
        section.inputs,
        section.has_linear_member,
        section.text_layers or (),
    ),
}
