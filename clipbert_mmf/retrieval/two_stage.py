"""Choose the k best candidates of each query by a dot product of embeddings, for the cross-encoder to rank.

``scoring.ranking`` ranks the other candidates behind these, by the dot product. Exact retrieval scores every
pair.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
