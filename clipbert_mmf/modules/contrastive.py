"""Embeddings of texts and of videos on their own, so that a dot product finds candidates for the cross-encoder.

Beside the heads of pairs: it reads what the cross-encoder makes of a text without a video, and of clips without a text.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Of the scale of dot products before training, and the largest one, as in CLIP (Radford et al. 2021, section 2.5).
_FIRST_SCALE, _LAST_SCALE = 1 / 0.07, 100.0


class ContrastiveHead(nn.Module):
    """Two projections to unit vectors, and the learned scale (inverse temperature) of their dot products.

    Args:
        hidden_size: D.
        size: E, of the embeddings.
    """

    def __init__(self, hidden_size: int, size: int):
        super().__init__()
        self.text = nn.Linear(hidden_size, size)
        self.video = nn.Linear(hidden_size, size)
        self.log_scale = nn.Parameter(torch.tensor([math.log(_FIRST_SCALE)]))

    def project_texts(self, rows: Tensor) -> Tensor:
        """Return ``(N, E)`` unit vectors of ``(N, D)`` rows of ``[CLS]``."""
        return self._normalize(self.text(rows))

    def project_videos(self, rows: Tensor) -> Tensor:
        """Return ``(B, E)`` unit vectors of ``(B, K, V, D)`` visual rows: their mean over clips and places, projected."""
        return self._normalize(self.video(rows.mean((1, 2))))

    @property
    def scale(self) -> Tensor:
        """``(1,)``, at most 100."""
        return self.log_scale.float().exp().clamp(max=_LAST_SCALE)

    @staticmethod
    def _normalize(rows: Tensor) -> Tensor:
        return F.normalize(rows.float(), dim=-1)
