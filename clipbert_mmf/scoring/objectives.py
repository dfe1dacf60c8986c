"""Compute losses from tensors (spec section 5); ``plugin.losses`` registers them with MMF."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clipbert_mmf.scoring.gathering import average_over_ranks
from clipbert_mmf.shapes import IGNORED_TOKEN, UNKNOWN_ANSWER


def match_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of pairs: ``(P, 2)`` logits against ``(B, N)`` int64, 1 for a match."""
    return F.cross_entropy(scores.float(), targets.reshape(-1))


def rank_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each match among its own negatives, half by video and half by text.

    Args:
        scores: ``(P, 2)`` logits of the pairs that ``models.network.choose_pairs`` returns: M matches, then n other
            videos of each text, then n other texts of each one's video. In evaluation those of B videos with N texts
            each.
        targets: ``(P,)`` int64, 1 for a match; ``(B, N)`` in evaluation, where a match is one among the video's wrong
            texts.
    """
    margins = (scores[:, 1] - scores[:, 0]).float()
    if targets.dim() == 2:
        margins, right = margins.view(targets.shape), targets.bool()
        wrong = margins.masked_fill(right, -torch.inf).logsumexp(1, keepdim=True)
        return (torch.logaddexp(margins, wrong) - margins)[right].mean()
    matches = int(targets.sum())
    count = (len(margins) // max(1, matches) - 1) // 2
    if not count:
        return margins.sum() * 0.0
    own, others = margins[:matches, None, None], margins[matches:].view(2, matches, count)
    groups = torch.cat([own.expand(-1, 2, 1), others.transpose(0, 1)], 2)
    return -groups.log_softmax(2)[..., 0].mean()


def answer_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy over answers, ``(P, A)`` against ``(B, N)`` int64.

    Unknown answers do not train.
    """
    targets = targets.reshape(-1)
    total = F.cross_entropy(scores.float(), targets, ignore_index=UNKNOWN_ANSWER, reduction="sum")
    return average_over_ranks(total, (targets != UNKNOWN_ANSWER).sum())


def choice_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy over options, ``(B, N)`` against ``(B,)`` int64."""
    return F.cross_entropy(scores.float(), targets)


def soft_answer_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy summed over answers and averaged over pairs.

    Outputs beyond the vocabulary, which models of a fixed width have, are never right.

    Args:
        scores: ``(P, A)`` logits.
        targets: ``(B, N, A)`` or fewer answers, 0 to 1.

    Raises:
        ValueError: if there are fewer outputs than answers.
    """
    targets = widen_targets(targets.reshape(len(scores), -1), scores.shape[1])
    return F.binary_cross_entropy_with_logits(scores.float(), targets, reduction="sum") / len(scores)


def widen_targets(targets: Tensor, num_outputs: int) -> Tensor:
    """Return ``(P, num_outputs)`` soft targets; outputs beyond the vocabulary get 0.

    Raises:
        ValueError: if there are fewer outputs than answers.
    """
    missing = num_outputs - targets.shape[1]
    if missing < 0:
        raise ValueError(
            f"the model has {num_outputs} outputs and the answer vocabulary {targets.shape[1]} answers; give "
            f"the model as "
            f"many (num_answers, or num_labels of MMF's models), or the vocabulary fewer "
            f"(answers.num_answers)"
        )
    return F.pad(targets, (0, missing)) if missing else targets


def count_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of counts, ``(P, 1)`` against ``(B, N)``."""
    return F.mse_loss(scores.float().reshape(-1), targets.reshape(-1).float())


def masked_token_loss(
    token_scores: Tensor, token_targets: Tensor, num_positions: int | None = None
) -> Tensor:
    """Return the cross-entropy of the M hidden tokens, ``(M, vocab)`` against ``(M,)`` int64.

    0 where M is 0.

    Args:
        token_scores: ``(M, vocab)`` logits.
        token_targets: ``(M,)`` int64.
        num_positions: number that the sum is divided by; None for M.
    """
    if len(token_targets):
        total = F.cross_entropy(token_scores.float(), token_targets, reduction="sum")
    else:
        total = token_scores.sum() * 0.0  # keeps a path for the gradient
    if num_positions is not None:
        return total / num_positions
    return average_over_ranks(total, torch.tensor(len(token_targets), device=total.device))


def count_tokens(token_scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of hidden tokens of each pair that are found, and the number of hidden tokens.

    Args:
        token_scores: ``(M, vocab)`` for the labelled positions of ``labels``, in row order.
        labels: ``(P, L)`` int64, ``IGNORED_TOKEN`` where nothing is predicted.

    Returns:
        Two ``(P,)`` int64.
    """
    hidden = labels != IGNORED_TOKEN
    found = torch.zeros_like(labels)
    found[hidden] = (token_scores.argmax(-1) == labels[hidden]).to(labels.dtype)
    return found.sum(1), hidden.sum(1)
