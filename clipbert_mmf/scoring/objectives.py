"""Losses as functions of tensors (spec section 5); ``losses`` gives them to MMF."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clipbert_mmf.shapes import IGNORED_TOKEN, UNKNOWN_ANSWER


def match_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of pairs: ``(P, 2)`` logits against ``(B, N)`` 0 or 1."""
    return F.cross_entropy(scores.float(), targets.reshape(-1))


def answer_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over answers, ``(P, A)`` against ``(B, N)``; unknown answers do not train."""
    targets = targets.reshape(-1)
    total = F.cross_entropy(scores.float(), targets, ignore_index=UNKNOWN_ANSWER, reduction="sum")
    return total / (targets != UNKNOWN_ANSWER).sum().clamp(min=1)


def choice_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over options: ``(B, N)`` against ``(B,)``."""
    return F.cross_entropy(scores.float(), targets)


def soft_answer_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, ``(P, A)`` against ``(B, N, A)``: summed over answers, averaged over pairs.

    Outputs beyond the vocabulary, which models of a fixed width have, are never right.

    Raises:
        ValueError: if there are fewer outputs than answers.
    """
    targets = widen_targets(targets.reshape(len(scores), -1), scores.shape[1])
    return F.binary_cross_entropy_with_logits(scores.float(), targets, reduction="sum") / len(scores)


def widen_targets(targets: Tensor, num_outputs: int) -> Tensor:
    """Return ``(P, num_outputs)`` soft targets, 0 for outputs beyond the vocabulary.

    Raises:
        ValueError: if there are fewer outputs than answers.
    """
    missing = num_outputs - targets.shape[1]
    if missing < 0:
        raise ValueError(
            f"the model has {num_outputs} outputs and the answer vocabulary {targets.shape[1]} answers; give the model as "
            f"many (num_answers, or num_labels of MMF's models), or the vocabulary fewer (answers.num_answers)"
        )
    return F.pad(targets, (0, missing)) if missing else targets


def count_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Squared error of a count: ``(P, 1)`` against ``(B, N)``."""
    return F.mse_loss(scores.float().reshape(-1), targets.reshape(-1).float())


def masked_word_loss(word_scores: Tensor, word_targets: Tensor) -> Tensor:
    """Cross-entropy of the M hidden words, ``(M, vocab)`` against ``(M,)``; 0 with a gradient path where M is 0."""
    if not len(word_targets):
        return word_scores.sum() * 0.0
    return F.cross_entropy(word_scores.float(), word_targets)


def count_words(word_scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many hidden words of each pair are right, and how many there are.

    Args:
        word_scores: ``(M, vocab)`` for the labelled positions of ``labels``, in row order.
        labels: ``(P, L)`` int64, ``IGNORED_TOKEN`` where nothing is predicted.

    Returns:
        Two ``(P,)`` int64.
    """
    hidden = labels != IGNORED_TOKEN
    right = torch.zeros_like(labels)
    right[hidden] = (word_scores.argmax(-1) == labels[hidden]).to(labels.dtype)
    return right.sum(1), hidden.sum(1)
