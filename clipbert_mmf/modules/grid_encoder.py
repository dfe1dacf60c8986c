"""Brings a backbone's grid to the width of the transformer (paper section 3, after Pixel-BERT)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.modules.backbones.convolution import convolve


class GridEncoder(nn.Module):
    """Apply a 3x3 convolution to the transformer's width, a 2x2 max-pool and ReLU.

    Args:
        in_channels: channels of the backbone.
        hidden_size: D.
        pool: whether the grid is halved; small frames keep theirs.
    """

    def __init__(self, in_channels: int, hidden_size: int, pool: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, hidden_size, 3, padding=1, bias=False)
        self.pool = pool
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # PyTorch has no overload

    def forward(self, features: Tensor) -> Tensor:
        """Return grids ``(F, D, h', w')`` for features ``(F, C, h, w)``."""
        grid = convolve(features, self.conv.weight, padding=1)
        return F.relu(F.max_pool2d(grid, 2, stride=2) if self.pool else grid)
