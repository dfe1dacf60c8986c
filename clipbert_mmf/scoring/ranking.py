"""Ranks of right answers in a score matrix, and what is reported of them (spec section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RECALL_DEPTHS = (1, 5, 10)


@dataclass(frozen=True)
class RankSummary:
    """Retrieval in one direction.

    Attributes:
        recall: share of queries, 0 to 1, whose first right answer is within the depth.
        median_rank, mean_rank: 1-based.
        num_ties: queries for which a wrong answer scored exactly as the best right one.
    """

    recall: dict[int, float]
    median_rank: float
    mean_rank: float
    num_ties: int


def match_margin(scores: Tensor) -> Tensor:
    """Return ``(...)`` of ``(..., 2)`` logits: how much surer a match is than none; orders as the softmax, without ties."""
    return scores[..., -1] - scores[..., 0]


def rate_options(scores: Tensor) -> Tensor:
    """Return ``(...)`` of the ``(..., A)`` logits of options: their one output, or how much surer "yes" is than "no"."""
    return match_margin(scores) if scores.shape[-1] == 2 else scores[..., 0]


def rank_first_match(scores: Tensor, matches: Tensor, first: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return each query's rank of its best right answer, ties broken against us.

    Args:
        scores: ``(queries, candidates)``; minus infinity for a candidate that could not be read.
        matches: ``(queries, candidates)`` bool.
        first: ``(queries, candidates)`` bool, those that stand before all others whatever the scores; None for all.

    Returns:
        ``(queries,)`` int64 ranks from 1, and ``(queries,)`` bool: a wrong candidate scored the same.

    Raises:
        ValueError: if a query has no right answer.
    """
    if not bool(matches.any(1).all()):
        raise ValueError(
            f"queries {torch.nonzero(~matches.any(1)).flatten()[:5].tolist()} have no right answer"
        )
    first = torch.ones_like(matches) if first is None else first
    best_is_first = (matches & first).any(1, keepdim=True)
    best = scores.masked_fill(~matches | (first != best_is_first), -torch.inf).amax(1, keepdim=True)
    wrong, same = ~matches, first == best_is_first
    above = (((scores > best) & same | (first & ~best_is_first)) & wrong).sum(1)
    tied = ((scores == best) & same & wrong).sum(1)
    return above + tied + 1, tied > 0


def summarize_ranks(ranks: Tensor, tied: Tensor) -> RankSummary:
    """Return recall, median and mean of 1-based ranks; the median of an even number is the mean of the middle two."""
    ranks = ranks.double()
    return RankSummary(
        recall={depth: float((ranks <= depth).double().mean()) for depth in RECALL_DEPTHS},
        median_rank=float(torch.quantile(ranks, 0.5)),
        mean_rank=float(ranks.mean()),
        num_ties=int(tied.sum()),
    )


def summarize_retrieval(
    scores: Tensor, matches: Tensor, readable: Tensor, candidates: tuple[Tensor, Tensor, Tensor] | None = None
) -> tuple[RankSummary, RankSummary]:
    """Summarise text-to-video and video-to-text retrieval.

    An unreadable video is a miss both ways: its texts find everything else first, and it finds none of its texts.

    Args:
        scores: ``(videos, texts)``.
        matches: ``(videos, texts)`` bool.
        readable: ``(videos,)`` bool.
        candidates: of two-stage retrieval, where ``scores`` counts for chosen pairs only: ``(videos, texts)`` similarity
            that the others are ranked by, and two bool of the same shape, the pairs chosen for text-to-video and for
            video-to-text.
    """
    if candidates is None:
        return _summarize_directions((scores, scores), matches, readable, (None, None))
    similarity, *chosen = candidates
    ordered = [torch.where(first, scores.double(), similarity.double()) for first in chosen]
    return _summarize_directions(ordered, matches, readable, [first & readable[:, None] for first in chosen])


def _summarize_directions(scores, matches, readable, first) -> tuple[RankSummary, RankSummary]:
    for_texts, for_videos = (one.double().masked_fill(~readable[:, None], -torch.inf) for one in scores)
    # Videos or texts without a partner are candidates only.
    texts = matches.any(0)
    videos = matches.any(1)
    first_videos, first_texts = first
    return (
        summarize_ranks(
            *rank_first_match(
                for_texts.T[texts], matches.T[texts], None if first_videos is None else first_videos.T[texts]
            )
        ),
        summarize_ranks(
            *rank_first_match(
                for_videos[videos], matches[videos], None if first_texts is None else first_texts[videos]
            )
        ),
    )
