"""Which words count: what a clip's score loses when a word is hidden behind ``[MASK]``, by Captum (feature ablation).

Before ``evidence``. The video is encoded once; a text of n tokens takes n passes of the cross-encoder for one clip.
Gradients on the word embeddings cost less and mislead: on the demo corpus they called the words that decide harmful.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def measure_words(score: Callable[[Tensor], Tensor], input_ids: Tensor, mask_id: int) -> Tensor:
    """Return what each token adds to a score.

    Args:
        score: ``(n, L)`` token ids to ``(n,)`` scores.
        input_ids: ``(1, L)`` int64, ``[CLS]`` first and ``[SEP]`` last, no padding.
        mask_id: of the token that hides a word.

    Returns:
        ``(L,)`` float32; 0 for the first and the last.

    Raises:
        ImportError: if Captum is not installed.
    """
    from captum.attr import FeatureAblation

    length = input_ids.shape[1]
    with torch.no_grad():
        lost = (
            FeatureAblation(score)
            .attribute(input_ids, baselines=mask_id, perturbations_per_eval=length)[0]
            .float()
        )
    lost[[0, -1]] = 0.0
    return lost
