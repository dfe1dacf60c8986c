"""Embeds texts and videos on their own, so that a dot product finds candidates for the cross-encoder.

It reads the cross-encoder's rows of a text without a video, and of clips without a text.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Scale of dot products before training, and the largest one, as in CLIP (Radford et al. 2021, section 2.5).
_FIRST_SCALE, _LAST_SCALE = 1 / 0.07, 100.0


class ContrastiveHead(nn.Module):
    """Project texts and videos to unit vectors; learn the scale (inverse temperature) of their dot products.

    Args:
        hidden_size: D.
        size: E, length of the embeddings.
    """

    def __init__(self, hidden_size: int, size: int):
        super().__init__()
        self.text = nn.Linear(hidden_size, size)
        self.video = nn.Linear(hidden_size, size)
        self.log_scale = nn.Parameter(torch.tensor([math.log(_FIRST_SCALE)]))

    def project_texts(self, rows: Tensor) -> Tensor:
        """Return unit vectors ``(N, E)`` for rows of ``[CLS]`` ``(N, D)``."""
        return self._normalize(self.text(rows))

    def project_videos(self, rows: Tensor) -> Tensor:
        """Return unit vectors ``(B, E)`` for visual rows ``(B, K, V, D)``.

        Their mean over clips and positions, projected.
        """
        return self._normalize(self.video(rows.mean((1, 2))))

    @property
    def scale(self) -> Tensor:
        """Scale of dot products ``(1,)``, at most 100."""
        return self.log_scale.float().exp().clamp(max=_LAST_SCALE)

    @staticmethod
    def _normalize(rows: Tensor) -> Tensor:
        return F.normalize(rows.float(), dim=-1)
