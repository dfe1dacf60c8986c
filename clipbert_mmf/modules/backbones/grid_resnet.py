"""ResNet as Detectron2 builds it: turns frames into a grid of features (paper section 3).

It receives uint8 RGB frames and normalises them on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.configuration import InRange, OneOf
from clipbert_mmf.modules.activation_checkpointing import recompute_in_chunks, run_or_recompute
from clipbert_mmf.modules.backbones.convolution import convolve
from clipbert_mmf.modules.backbones.pixels import check_pixel_options, normalize_pixels
from clipbert_mmf.modules.batch_norm import FrozenBatchNorm, SyncedBatchNorm

#: Mean of R, G, B in grey levels, and their divisors (caffe-style weights).
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (1.0, 1.0, 1.0)


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(min(8, channels // 4), channels)


#: Normalisation after each convolution. ``frozen_batch`` is the paper's; ``group`` trains from random weights
#: and gives the same result whatever the batch is split into. ``batch`` has the statistics of the items that all
#: processes read together, so several processes train as one; batches that are accumulated have their own.
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "frozen_batch": FrozenBatchNorm,
    "batch": SyncedBatchNorm,
    "group": _group_norm,
}


class Conv(nn.Module):
    """Apply a convolution without bias, a norm, and optionally ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        norm: str,
        activate: bool = True,
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = NORMS[norm](out_channels)
        self.stride, self.padding = stride, kernel_size // 2
        self.activate = activate

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return ``(F, out, h, w)`` for ``(F, in, H, W)``.

        With a ``residual`` of the result's shape, ReLU of the sum.
        """
        conv, norm = self.conv, self.norm
        activate = self.activate or residual is not None
        if isinstance(norm, FrozenBatchNorm):
            # A norm that never changes becomes part of the convolution: it needs no pass of its own, and
            # under autocast none in full precision. The product is made in the precision of the weights.
            scale, bias = norm.compute_factors()
            weight = conv.weight * scale.view(-1, 1, 1, 1)
            return convolve(x, weight, bias, self.stride, self.padding, residual, activate)
        x = norm(convolve(x, conv.weight, None, self.stride, self.padding))
        # In place: neither sum nor norm needs its result for the gradient.
        x = x if residual is None else x.add_(residual)
        return F.relu_(x) if activate else x


class _Block(nn.Module):
    """Add ``path`` to an identity or to a 1x1 ``shortcut``."""

    def __init__(self, path: nn.Sequential, shortcut: nn.Module | None):
        super().__init__()
        self.path = path
        self.shortcut = shortcut
        weight = getattr(path[-1].norm, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.requires_grad:
            # A new residual path starts as the identity, so that deep random networks train.
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.shortcut is None else self.shortcut(x)
        *first, last = self.path
        for conv in first:
            x = conv(x)
        return last(x, residual)


def _make_bottleneck(
    in_channels: int, width: int, stride: int, norm: str, stride_in_1x1: bool
) -> tuple[_Block, int]:
    out_channels = 4 * width
    strides = (stride, 1) if stride_in_1x1 else (1, stride)
    path = nn.Sequential(
        Conv(in_channels, width, 1, strides[0], norm),
        Conv(width, width, 3, strides[1], norm),
        Conv(width, out_channels, 1, 1, norm, activate=False),
    )
    return _Block(path, _make_shortcut(in_channels, out_channels, stride, norm)), out_channels


def _make_basic(
    in_channels: int, width: int, stride: int, norm: str, stride_in_1x1: bool
) -> tuple[_Block, int]:
    path = nn.Sequential(
        Conv(in_channels, width, 3, stride, norm), Conv(width, width, 3, 1, norm, activate=False)
    )
    return _Block(path, _make_shortcut(in_channels, width, stride, norm)), width


def _make_shortcut(in_channels: int, out_channels: int, stride: int, norm: str) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return Conv(in_channels, out_channels, 1, stride, norm, activate=False)


#: Depth -> (block, blocks per stage res2 to res5).
DEPTHS: dict[str, tuple[Callable[..., tuple[_Block, int]], tuple[int, int, int, int]]] = {
    "resnet18": (_make_basic, (2, 2, 2, 2)),
    "resnet34": (_make_basic, (3, 4, 6, 3)),
    "resnet50": (_make_bottleneck, (3, 4, 6, 3)),
    "resnet101": (_make_bottleneck, (3, 4, 23, 3)),
}
#: Stages -> position; res5 has stride 32, each earlier one half of it.
STAGES = {"res2": 0, "res3": 1, "res4": 2, "res5": 3}


@dataclass(frozen=True)
class GridResnetOptions:
    """``model_config.clipbert.backbone`` with ``type: grid_resnet``.

    Attributes:
        depth: resnet18, resnet34, resnet50 or resnet101.
        norm: frozen_batch (the paper's), group (trains from random weights), or batch (over the items of all
            processes).
        width: channels of the stem; 64 is the paper's.
        out_stage: last stage that is built, res2 to res5; res5 has stride 32, each earlier one half of it.
        freeze_at: number of parts that do not train, counted from the stem: 2 (stem and res2) is the paper's,
            0 trains all.
        stride_in_1x1: a bottleneck strides in its first 1x1 convolution (Detectron2's MSRA weights) or in its
            3x3 (torchvision's).
        pixel_mean: mean of R, G, B in grey levels.
        pixel_std: divisor of R, G, B in grey levels.
        bgr: the network wants blue first.
        frames_per_chunk: with activation_checkpointing, frames that go through the convolutions at once. More
            are faster on a GPU and take more memory; null is 2 on a CPU and 64 on a GPU. Norm ``batch`` needs
            all frames at once and goes stage by stage.
    """

    depth: Annotated[str, OneOf(DEPTHS)] = "resnet50"
    norm: Annotated[str, OneOf(NORMS)] = "frozen_batch"
    width: Annotated[int, InRange(at_least=1)] = 64
    out_stage: Annotated[str, OneOf(STAGES)] = "res5"
    freeze_at: Annotated[int, InRange(at_least=0, at_most=5)] = 2
    stride_in_1x1: bool = True
    pixel_mean: tuple[float, float, float] = PIXEL_MEAN
    pixel_std: tuple[float, float, float] = PIXEL_STD
    bgr: bool = True
    frames_per_chunk: Annotated[int, InRange(at_least=1)] | None = None

    def __post_init__(self) -> None:
        check_pixel_options(self.pixel_mean, self.pixel_std)


class GridResnet(nn.Module):
    """Return the last grid of a ResNet.

    Args:
        options: its size and variant.
        recompute: whether the backward pass computes features again instead of keeping their inputs, a few
            frames at a time.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, options: GridResnetOptions | None = None, recompute: bool = False):
        super().__init__()
        options = options or GridResnetOptions()
        make_block, counts = DEPTHS[options.depth]
        self.bgr = options.bgr
        self.frames_per_chunk = options.frames_per_chunk
        self.recompute = recompute
        self.needs_all_frames = options.norm == "batch"
        self.stride_in_1x1 = options.stride_in_1x1
        self.is_bottleneck = make_block is _make_bottleneck
        self.register_buffer("pixel_mean", torch.tensor(options.pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(options.pixel_std).view(3, 1, 1), persistent=False)
        self.stem = Conv(3, options.width, 7, 2, options.norm)
        channels = options.width
        self.stages = nn.ModuleDict()
        for name, index in STAGES.items():
            blocks: list[nn.Module] = []
            for number in range(counts[index]):
                stride = 2 if number == 0 and index > 0 else 1
                width = options.width * 2**index
                block, channels = make_block(channels, width, stride, options.norm, options.stride_in_1x1)
                blocks.append(block)
            self.stages[name] = nn.Sequential(*blocks)
            if name == options.out_stage:
                break
        self.out_channels = channels
        for part in [self.stem, *self.stages.values()][: options.freeze_at]:
            part.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # PyTorch has no overload

    def forward(self, frames: Tensor) -> Tensor:
        """Return ``(F, C, h, w)`` for ``(F, 3, H, W)`` uint8 or float RGB frames, 0 to 255, padding included."""
        if not (self.recompute and self.training) or self.needs_all_frames:
            return self._encode(frames)
        # Chunks keep their pixels only: computing the frozen stages again is cheap beside the memory of their
        # results.
        return recompute_in_chunks(self._encode, frames, self.frames_per_chunk, owner=self)

    def _encode(self, frames: Tensor) -> Tensor:
        x = normalize_pixels(frames, self.pixel_mean, self.pixel_std, is_bgr=self.bgr)
        x = self.stem(x)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages.values():
            x = run_or_recompute(
                stage, x, recompute=self.recompute and self.training and self.needs_all_frames
            )
        return x
