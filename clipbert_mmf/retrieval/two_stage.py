"""Two-stage retrieval: a dot product of embeddings chooses k candidates for each query, the cross-encoder ranks them.

Beside the exact way, which scores every pair; ``scoring.ranking`` puts the others behind the k, by the dot product.
"""

from __future__ import annotations

import torch
from torch import Tensor


def compare_embeddings(videos: Tensor, texts: Tensor, readable: Tensor) -> Tensor:
    """Return ``(V, N)`` dot products of ``(V, E)`` and ``(N, E)``; minus infinity for a video that could not be read."""
    return (videos.float() @ texts.float().T).masked_fill(~readable.bool()[:, None], -torch.inf)


def choose_candidates(similarity: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Choose the k most similar videos of each text, and the k most similar texts of each video.

    Args:
        similarity: ``(V, N)``; minus infinity for what may not be chosen.
        top_k: k, at least 1; more than there are means all.

    Returns:
        Two ``(V, N)`` bool: for text-to-video and for video-to-text retrieval.

    Raises:
        ValueError: if ``top_k`` is below 1.
    """
    if top_k < 1:
        raise ValueError(f"rerank_top_k is {top_k}; expected at least 1")
    possible = similarity > -torch.inf
    return _mark_best(similarity, top_k, 0) & possible, _mark_best(similarity, top_k, 1) & possible


def _mark_best(similarity: Tensor, top_k: int, dim: int) -> Tensor:
    # Stable: of equal ones the first is chosen, on any number of processes.
    best = similarity.argsort(dim=dim, descending=True, stable=True).narrow(
        dim, 0, min(top_k, similarity.shape[dim])
    )
    return torch.zeros_like(similarity, dtype=torch.bool).scatter_(dim, best, True)
