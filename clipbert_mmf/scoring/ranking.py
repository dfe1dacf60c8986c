"""Rank the correct candidates of a score matrix and summarise the ranks (spec section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RECALL_DEPTHS = (1, 5, 10)


@dataclass(frozen=True)
class RankSummary:
    """Retrieval in one direction.

    Attributes:
        recall: depth -> share of queries, 0 to 1, whose best correct candidate ranks within the depth.
        median_rank: 1-based.
        mean_rank: 1-based.
        num_ties: number of queries whose best correct candidate has the score of a wrong one.
    """

    recall: dict[int, float]
    median_rank: float
    mean_rank: float
    num_ties: int


@dataclass(frozen=True)
class QueryRanks:
    """The ranks of the queries of one direction that have a correct candidate.

    Attributes:
        queries: ``(queries,)`` int64, row of each.
        ranks: ``(queries,)`` int64, 1-based.
        tied: ``(queries,)`` bool, a wrong candidate has the score of the best correct one.
    """

    queries: Tensor
    ranks: Tensor
    tied: Tensor


def match_margin(scores: Tensor) -> Tensor:
    """Return the logit of a match minus that of none, ``(...)`` from ``(..., 2)``.

    It orders pairs as the softmax does, which ties where it saturates.
    """
    return scores[..., -1] - scores[..., 0]


def rate_options(scores: Tensor) -> Tensor:
    """Return ``(...)`` scores of options from ``(..., A)`` logits.

    The only output, or that of "yes" minus "no".
    """
    return match_margin(scores) if scores.shape[-1] == 2 else scores[..., 0]


def rank_first_match(scores: Tensor, matches: Tensor, first: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the rank of each query's best correct candidate; wrong candidates with its score rank before it.

    Args:
        scores: ``(queries, candidates)``; minus infinity for an unreadable candidate.
        matches: ``(queries, candidates)`` bool.
        first: ``(queries, candidates)`` bool, candidates that rank before all others whatever the scores;
            None for all.

    Returns:
        ``(queries,)`` int64 ranks from 1, and ``(queries,)`` bool: a wrong candidate has the same score.

    Raises:
        ValueError: if a query has no correct candidate.
    """
    if not bool(matches.any(1).all()):
        unanswered = [int(query) for query in torch.nonzero(~matches.any(1)).flatten()[:5]]
        raise ValueError(f"queries {unanswered} have no correct candidate")
    first = torch.ones_like(matches) if first is None else first
    best_is_first = (matches & first).any(1, keepdim=True)
    best = scores.masked_fill(~matches | (first != best_is_first), -torch.inf).amax(1, keepdim=True)
    wrong, same = ~matches, first == best_is_first
    above = (((scores > best) & same | (first & ~best_is_first)) & wrong).sum(1)
    tied = ((scores == best) & same & wrong).sum(1)
    return above + tied + 1, tied > 0


def summarize_ranks(ranks: Tensor, tied: Tensor) -> RankSummary:
    """Return recall, median and mean of 1-based ranks.

    The median of an even number is the mean of the middle two.
    """
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
    """Summarise the ranks of ``rank_retrieval``, text-to-video and video-to-text."""
    to_video, to_text = rank_retrieval(scores, matches, readable, candidates)
    return summarize_ranks(to_video.ranks, to_video.tied), summarize_ranks(to_text.ranks, to_text.tied)


def rank_retrieval(
    scores: Tensor, matches: Tensor, readable: Tensor, candidates: tuple[Tensor, Tensor, Tensor] | None = None
) -> tuple[QueryRanks, QueryRanks]:
    """Rank videos for texts, and texts for videos.

    An unreadable video is a miss in both directions: all other videos rank before it for its texts, and all
    other texts rank before its own.

    Args:
        scores: ``(videos, texts)``.
        matches: ``(videos, texts)`` bool.
        readable: ``(videos,)`` bool.
        candidates: two-stage retrieval only, where ``scores`` ranks chosen pairs alone: ``(videos, texts)``
            similarity that ranks the others, and two bool of the same shape, the pairs chosen for
            text-to-video and for video-to-text.

    Returns:
        Text-to-video and video-to-text.
    """
    for_texts = for_videos = scores
    first_videos = first_texts = None
    if candidates is not None:
        similarity, first_videos, first_texts = candidates
        for_texts, for_videos = (
            torch.where(first, scores.double(), similarity.double()) for first in (first_videos, first_texts)
        )
        first_videos, first_texts = (first & readable[:, None] for first in (first_videos, first_texts))
    for_texts, for_videos = (
        one.double().masked_fill(~readable[:, None], -torch.inf) for one in (for_texts, for_videos)
    )
    return (
        _rank_queries(for_texts.T, matches.T, None if first_videos is None else first_videos.T),
        _rank_queries(for_videos, matches, first_texts),
    )


def _rank_queries(scores: Tensor, matches: Tensor, first: Tensor | None) -> QueryRanks:
    """Rank ``(queries, candidates)``.

    A query without a correct candidate is only a candidate of others.
    """
    kept = matches.any(1)
    ranks, tied = rank_first_match(scores[kept], matches[kept], None if first is None else first[kept])
    return QueryRanks(kept.nonzero().flatten(), ranks, tied)
