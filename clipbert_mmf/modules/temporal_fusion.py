"""The T grids of a clip to one (paper section 4.2, Table 2). After the grid encoder, before the visual embedding."""

from __future__ import annotations

from torch import Tensor, nn


class MeanFusion(nn.Module):
    """The mean over time, the paper's choice."""

    def __init__(self, hidden_size: int):
        super().__init__()

    def forward(self, grids: Tensor) -> Tensor:
        """Return ``(clips, D, h, w)`` of ``(clips, T, D, h, w)``."""
        return grids.mean(1)


class Conv3dFusion(nn.Module):
    """One 3x3x3 convolution, then the mean."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.conv = nn.Conv3d(hidden_size, hidden_size, 3, padding=1)

    def forward(self, grids: Tensor) -> Tensor:
        """Return ``(clips, D, h, w)`` of ``(clips, T, D, h, w)``."""
        return self.conv(grids.transpose(1, 2)).mean(2)


class Conv2Plus1dFusion(nn.Module):
    """A spatial 1x3x3 convolution, a temporal 3x1x1 convolution, then the mean."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.spatial = nn.Conv3d(hidden_size, hidden_size, (1, 3, 3), padding=(0, 1, 1))
        self.temporal = nn.Conv3d(hidden_size, hidden_size, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, grids: Tensor) -> Tensor:
        """Return ``(clips, D, h, w)`` of ``(clips, T, D, h, w)``."""
        return self.temporal(self.spatial(grids.transpose(1, 2))).mean(2)


TEMPORAL_FUSIONS = {"mean": MeanFusion, "conv3d": Conv3dFusion, "conv2plus1d": Conv2Plus1dFusion}
