"""Attribute a score to tokens.

What it loses when a token is replaced by ``[MASK]``, by Captum (feature ablation).

The video is encoded once; a text of n tokens takes n passes of the cross-encoder for one clip. Gradients on
the word
embeddings cost less and mislead: on the demo corpus they called the words that decide harmful.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def attribute_tokens(score: Callable[[Tensor], Tensor], input_ids: Tensor, mask_id: int) -> Tensor:
    """Return how much each token adds to a score.

    Args:
        score: function from ``(n, L)`` token ids to ``(n,)`` scores.
        input_ids: ``(1, L)`` int64, ``[CLS]`` first and ``[SEP]`` last, no padding.
        mask_id: id of ``[MASK]``.

    Returns:
        ``(L,)`` float32; 0 for the first and the last.

    Raises:
        ImportError: if Captum is not installed.
    """
    from captum.attr import FeatureAblation

    length = input_ids.shape[1]
    with torch.no_grad():
        attribution = FeatureAblation(score).attribute(
            input_ids, baselines=mask_id, perturbations_per_eval=length
        )
    lost = attribution[0].float()
    lost[[0, -1]] = 0.0
    return lost
