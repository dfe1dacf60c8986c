"""Makes one grid of the T grids of a clip (paper section 4.2, Table 2)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class MeanFusion(nn.Module):
    """Take the mean over time, the paper's choice. It has no parameters."""

    def __init__(self, hidden_size: int):
        super().__init__()

    def forward(self, grids: Tensor) -> Tensor:
        """Return grids ``(clips, D, h, w)`` for ``(clips, T, D, h, w)``."""
        return grids.mean(1)


class Conv3dFusion(nn.Module):
    """Apply one 3x3x3 convolution, then the mean."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.conv = nn.Conv3d(hidden_size, hidden_size, 3, padding=1)

    def forward(self, grids: Tensor) -> Tensor:
        """Return grids ``(clips, D, h, w)`` for ``(clips, T, D, h, w)``."""
        return self.conv(grids.transpose(1, 2)).mean(2)


class Conv2Plus1dFusion(nn.Module):
    """Apply a spatial 1x3x3 convolution, a temporal 3x1x1 convolution, then the mean."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.spatial = nn.Conv3d(hidden_size, hidden_size, (1, 3, 3), padding=(0, 1, 1))
        self.temporal = nn.Conv3d(hidden_size, hidden_size, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, grids: Tensor) -> Tensor:
        """Return grids ``(clips, D, h, w)`` for ``(clips, T, D, h, w)``."""
        return self.temporal(self.spatial(grids.transpose(1, 2))).mean(2)


#: Name -> module, made from the hidden size D.
TEMPORAL_FUSIONS: dict[str, Callable[[int], nn.Module]] = {
    "mean": MeanFusion,
    "conv3d": Conv3dFusion,
    "conv2plus1d": Conv2Plus1dFusion,
}
