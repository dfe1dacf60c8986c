"""Choose the k best candidates of each query by a dot product of embeddings, for the cross-encoder to rank.

``scoring.ranking`` ranks the other candidates behind these, by the dot product. Exact retrieval scores every
pair.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipbert_mmf.configuration import ArgumentError


def tell_contrastive_training(model_name: str = "MODEL") -> str:
    """Return what to type for a model that lacks the head which embeddings come from."""
    return (
        f"this adds one and trains it: clipbert train --from {model_name} --data FOLDER_WITH_VIDEOS_AND_TABLE "
        f"model_config.clipbert.contrastive.weight=0.1"
    )


def check_numbers(top_k: int, rerank_top_k: int | None, has_embeddings: bool = True) -> None:
    """Check how many hits and candidates a search is asked for.

    Args:
        top_k: hits of each text.
        rerank_top_k: candidates of each text; None for all.
        has_embeddings: whether there are embeddings to choose candidates with.

    Raises:
        ArgumentError: if a number is too small, or candidates cannot be chosen.
    """
    if top_k < 1:
        raise ArgumentError(f"{{top_k}} is {top_k}; expected at least 1")
    if rerank_top_k is None:
        return
    if rerank_top_k < top_k:
        raise ArgumentError(f"{{rerank_top_k}} is {rerank_top_k}; expected at least {{top_k}}, {top_k}")
    if not has_embeddings:
        raise ArgumentError(
            f"{{rerank_top_k}} is {rerank_top_k}, and this model has no contrastive head to choose with. Leave "
            f"{{rerank_top_k}} out to score every video; {tell_contrastive_training()}"
        )


def compare_embeddings(videos: Tensor, texts: Tensor, readable: Tensor) -> Tensor:
    """Return ``(V, N)`` dot products of ``(V, E)`` videos and ``(N, E)`` texts.

    Minus infinity for an unreadable video.
    """
    return (videos.float() @ texts.float().T).masked_fill(~readable.bool()[:, None], -torch.inf)


def choose_candidates(similarity: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Choose the k most similar videos of each text, and the k most similar texts of each video.

    Args:
        similarity: ``(V, N)``; minus infinity for a pair that may not be chosen.
        top_k: k; more than there are candidates means all, 0 none.

    Returns:
        Two ``(V, N)`` bool: for text-to-video and for video-to-text retrieval.

    Raises:
        ValueError: if ``top_k`` is below 0.
    """
    if top_k < 0:
        raise ValueError(f"rerank_top_k is {top_k}; expected at least 0")
    possible = similarity > -torch.inf
    return _mark_best(similarity, top_k, 0) & possible, _mark_best(similarity, top_k, 1) & possible


def _mark_best(similarity: Tensor, top_k: int, dim: int) -> Tensor:
    # A stable sort chooses the first of equal candidates for any number of processes.
    best = similarity.argsort(dim=dim, descending=True, stable=True).narrow(
        dim, 0, min(top_k, similarity.shape[dim])
    )
    return torch.zeros_like(similarity, dtype=torch.bool).scatter_(dim, best, True)
