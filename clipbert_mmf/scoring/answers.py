"""Score the answer of each pair (spec section 5): right or wrong, VQA's partial scores, counts."""

from __future__ import annotations

import torch
from torch import Tensor

from clipbert_mmf.scoring.objectives import widen_targets


def score_classes(scores: Tensor, targets: Tensor) -> Tensor:
    """Return 1.0 where the target has the highest score.

    An answer outside the vocabulary (-1) is never right.

    Args:
        scores: ``(P, A)``.
        targets: ``(P,)`` int64.

    Returns:
        ``(P,)`` float64.
    """
    return (scores.argmax(-1) == targets).double()


def score_soft_answers(scores: Tensor, targets: Tensor) -> Tensor:
    """Return VQA's official score of each pair's answer, the one with the highest logit.

    An answer that n of ten people gave scores ``min(1, 0.3 n)``, the mean over the ten ways to leave one of
    them out; ``targets`` holds these scores.

    Args:
        scores: ``(P, A)``.
        targets: ``(P, A)`` float, 0 to 1.

    Returns:
        ``(P,)`` float64.
    """
    return widen_targets(targets, scores.shape[1]).gather(1, scores.argmax(-1, keepdim=True))[:, 0].double()


#: Smallest and largest count in TGIF-QA.
COUNT_RANGE = (1, 10)


def round_counts(scores: Tensor) -> Tensor:
    """Return ``(P,)`` float64 counts from ``(P, 1)`` outputs: rounded, and kept in ``COUNT_RANGE``."""
    return scores.double().reshape(-1).round().clamp(*COUNT_RANGE)


def square_count_errors(scores: Tensor, targets: Tensor, readable: Tensor) -> Tensor:
    """Return ``(P,)`` float64 squared errors of the rounded counts.

    An unreadable item has the largest possible error.

    Args:
        scores: ``(P, 1)``.
        targets: ``(P,)``.
        readable: ``(P,)`` bool.
    """
    targets = targets.double()
    low, high = COUNT_RANGE
    worst = torch.maximum(targets - low, high - targets)
    return torch.where(readable, round_counts(scores) - targets, worst).square()


def score_counts(scores: Tensor, targets: Tensor) -> Tensor:
    """Return ``(P,)`` float64: 1.0 where the rounded count is the target."""
    return (round_counts(scores) == targets.double()).double()
