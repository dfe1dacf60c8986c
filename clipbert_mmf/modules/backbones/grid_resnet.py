"""Frames to a grid of features: ResNet as Detectron2 builds it, then the grid encoder (spec section 3, paper section 3).

The first room of the model: it receives uint8 RGB frames and normalises them on the device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from clipbert_mmf.modules.activation_checkpointing import run_or_recompute
from clipbert_mmf.modules.backbones.fused_convolution import convolve

#: Mean of R, G, B in grey levels, and what they are divided by (caffe-style weights).
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (1.0, 1.0, 1.0)


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(min(8, channels // 4), channels)


#: Normalisation after each convolution. ``frozen_batch`` is the paper's; ``group`` trains from random weights and
#: gives the same result whatever the batch is split into.
NORMS = {"frozen_batch": FrozenBatchNorm2d, "batch": nn.BatchNorm2d, "group": _group_norm}


class Conv(nn.Module):
    """Convolution without bias, norm, and optionally ReLU."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, norm, activate=True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = NORMS[norm](out_channels)
        self.activate = activate

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return ``(F, out, h, w)`` of ``(F, in, H, W)``; with a ``residual`` of the result's shape, ReLU of the sum."""
        conv, norm = self.conv, self.norm
        activate = self.activate or residual is not None
        if isinstance(norm, FrozenBatchNorm2d):
            # A norm that never changes is part of the convolution: no pass of its own, and none in full precision under
            # autocast. The product is made in the precision of the weights.
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            weight, bias = conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale
            return convolve(x, weight, bias, conv.stride[0], conv.padding[0], residual, activate)
        x = norm(convolve(x, conv.weight, None, conv.stride[0], conv.padding[0]))
        # In place: neither sum nor norm needs its result for the gradient.
        x = x if residual is None else x.add_(residual)
        return F.relu_(x) if activate else x


class _Block(nn.Module):
    """A residual block: ``path`` beside an identity or a 1x1 ``shortcut``."""

    def __init__(self, path: nn.Sequential, shortcut: nn.Module | None):
        super().__init__()
        self.path = path
        self.shortcut = shortcut
        last = path[-1].norm
        if getattr(last, "weight", None) is not None and last.weight.requires_grad:
            # A new residual path starts as the identity, so that deep random networks train.
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.shortcut is None else self.shortcut(x)
        *first, last = self.path
        for conv in first:
            x = conv(x)
        return last(x, residual)


def _make_bottleneck(in_channels, width, stride, norm, stride_in_1x1) -> tuple[_Block, int]:
    out_channels = 4 * width
    strides = (stride, 1) if stride_in_1x1 else (1, stride)
    path = nn.Sequential(
        Conv(in_channels, width, 1, strides[0], norm),
        Conv(width, width, 3, strides[1], norm),
        Conv(width, out_channels, 1, 1, norm, activate=False),
    )
    return _Block(path, _make_shortcut(in_channels, out_channels, stride, norm)), out_channels


def _make_basic(in_channels, width, stride, norm, stride_in_1x1) -> tuple[_Block, int]:
    path = nn.Sequential(
        Conv(in_channels, width, 3, stride, norm), Conv(width, width, 3, 1, norm, activate=False)
    )
    return _Block(path, _make_shortcut(in_channels, width, stride, norm)), width


def _make_shortcut(in_channels, out_channels, stride, norm) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return Conv(in_channels, out_channels, 1, stride, norm, activate=False)


#: Depth -> (block, blocks per stage res2 to res5).
DEPTHS = {
    "resnet18": (_make_basic, (2, 2, 2, 2)),
    "resnet34": (_make_basic, (3, 4, 6, 3)),
    "resnet50": (_make_bottleneck, (3, 4, 6, 3)),
    "resnet101": (_make_bottleneck, (3, 4, 23, 3)),
}
STAGES = ("res2", "res3", "res4", "res5")


class GridBackbone(nn.Module):
    """ResNet whose last grid is kept.

    Args:
        depth: a key of ``DEPTHS``.
        norm: a key of ``NORMS``.
        width: channels of the stem; 64 is the paper's.
        out_stage: last stage built, one of ``STAGES``; res5 has stride 32, each earlier one half of it.
        freeze_at: parts that do not train, counted from the stem: 2 (stem and res2) is the paper's, 0 trains all.
        stride_in_1x1: stride of a bottleneck in its first 1x1 convolution (Detectron2's MSRA weights) or in its 3x3
            (torchvision's).
        pixel_mean, pixel_std: of R, G, B in grey levels.
        bgr: whether the network wants blue first.
        recompute: whether features are computed again in the backward pass in place of keeping what led to them.
        frames_per_chunk: frames that pass at once in training with ``recompute``, so that what is computed again is of
            few frames, however large the batch. Batch norm (``batch``) needs all frames at once, and goes stage by stage.

    Raises:
        ValueError: for an unknown depth, norm or stage, or ``freeze_at`` out of range.
    """

    def __init__(
        self,
        depth: str = "resnet50",
        norm: str = "frozen_batch",
        width: int = 64,
        out_stage: str = "res5",
        freeze_at: int = 2,
        stride_in_1x1: bool = True,
        pixel_mean: tuple[float, ...] = PIXEL_MEAN,
        pixel_std: tuple[float, ...] = PIXEL_STD,
        bgr: bool = True,
        recompute: bool = False,
        frames_per_chunk: int = 2,
    ):
        super().__init__()
        for name, value, allowed in (
            ("depth", depth, DEPTHS),
            ("norm", norm, NORMS),
            ("out_stage", out_stage, STAGES),
        ):
            if value not in allowed:
                raise ValueError(f"backbone.{name} is '{value}'; allowed are {sorted(allowed)}")
        if not 0 <= freeze_at <= 5:
            raise ValueError(f"backbone.freeze_at is {freeze_at}; allowed are 0 (nothing) to 5 (everything)")
        if frames_per_chunk < 1:
            raise ValueError(f"backbone.frames_per_chunk is {frames_per_chunk}; expected at least 1")
        make_block, counts = DEPTHS[depth]
        self.bgr = bgr
        self.frames_per_chunk = frames_per_chunk
        self.recompute = recompute
        self.needs_all_frames = norm == "batch"
        self.stride_in_1x1 = stride_in_1x1
        self.is_bottleneck = make_block is _make_bottleneck
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)
        self.stem = Conv(3, width, 7, 2, norm)
        channels = width
        self.stages = nn.ModuleDict()
        for index, (name, count) in enumerate(zip(STAGES, counts)):
            blocks = []
            for number in range(count):
                stride = 2 if number == 0 and index > 0 else 1
                block, channels = make_block(channels, width * 2**index, stride, norm, stride_in_1x1)
                blocks.append(block)
            self.stages[name] = nn.Sequential(*blocks)
            if name == out_stage:
                break
        self.out_channels = channels
        for part in [self.stem, *self.stages.values()][:freeze_at]:
            part.requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, frames: Tensor) -> Tensor:
        """Return ``(F, C, h, w)`` of ``(F, 3, H, W)`` uint8 or float RGB frames, 0 to 255, padding included."""
        if not (self.recompute and self.training) or self.needs_all_frames:
            return self._encode(frames)
        # Chunks keep their pixels alone: what is frozen is cheap beside what it would keep.
        parts = frames.split(self.frames_per_chunk)
        return torch.cat([run_or_recompute(self._encode, part, recompute=True, owner=self) for part in parts])

    def _encode(self, frames: Tensor) -> Tensor:
        x = (frames.to(self.pixel_mean.dtype) - self.pixel_mean) / self.pixel_std
        if self.bgr:
            x = x.flip(1)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages.values():
            x = run_or_recompute(
                stage, x, recompute=self.recompute and self.training and self.needs_all_frames
            )
        return x


class GridEncoder(nn.Module):
    """3x3 convolution to the transformer's width, 2x2 max-pool, ReLU (after Pixel-BERT).

    Args:
        in_channels: of the backbone.
        hidden_size: D.
        pool: whether the grid is halved; small frames keep theirs.
    """

    def __init__(self, in_channels: int, hidden_size: int, pool: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, hidden_size, 3, padding=1, bias=False)
        self.pool = pool
        self.to(memory_format=torch.channels_last)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(F, D, h', w')`` of ``(F, C, h, w)``."""
        grid = convolve(features, self.conv.weight, padding=1)
        return F.relu(F.max_pool2d(grid, 2, stride=2) if self.pool else grid)
