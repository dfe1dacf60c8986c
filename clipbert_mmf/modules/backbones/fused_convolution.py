"""Computes convolution, sum and ReLU in one pass on a CPU.

``convolution`` uses this file where it is present.

oneDNN, on which PyTorch's CPU convolutions run, can add a residual and clip at zero while a result is still
in a register; ``torch.compile`` uses the same operators. Gradients of weights come from matrix products over
patches where oneDNN would spend most of the time moving weights from one layout to another.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clipbert_mmf.modules.products import find_product_dtype, multiply_columns, multiply_rows


def can_fuse(x: Tensor) -> bool:
    """Return whether ``fuse_convolution`` computes in the device and precision of ``x``.

    ``torch.backends.mkldnn.flags(enabled=False)`` turns it off, as it does PyTorch's own use of oneDNN.
    """
    if (
        x.device.type != "cpu"
        or not torch._C._get_mkldnn_enabled()
        or not hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    ):
        return False
    dtype = find_product_dtype(x)
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def fuse_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    residual: Tensor | None,
    activate: bool,
) -> Tensor:
    """Return what ``convolution.convolve`` returns, which has the arguments."""
    dtype = find_product_dtype(x)
    inputs = [None if value is None else value.to(dtype) for value in (x, weight, bias, residual)]
    return _FusedConvolution.apply(*inputs, stride, padding, activate)


class _FusedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        residual: Tensor | None,
        stride: int,
        padding: int,
        activate: bool,
    ) -> Tensor:
        fused = torch.ops.mkldnn._convolution_pointwise
        sizes = [padding, padding], [stride, stride], [1, 1], 1
        if residual is None:
            y = fused(x, weight, bias, *sizes, "relu" if activate else "none", [], "")
        else:
            y = fused.binary(
                x, residual, weight, bias, *sizes, "add", 1.0, "relu" if activate else None, [], ""
            )
        ctx.stride, ctx.padding = stride, padding
        ctx.save_for_backward(x, weight, y if activate else None)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # torch types it with *args
        x, weight, y = ctx.saved_tensors
        if y is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        needs_x, needs_weight, needs_bias, needs_residual = ctx.needs_input_grad[:4]
        x_gradient = weight_gradient = None
        if needs_x and weight.shape[-1] == 1:
            x_gradient, needs_x = _pointwise_gradient(x, weight, gradient, ctx.stride), False
        if needs_weight and (weight.shape[-1] == 1 or weight.numel() > x.numel()):
            weight_gradient, needs_weight = (
                _weight_gradient(x, weight, gradient, ctx.stride, ctx.padding),
                False,
            )
        if needs_x or needs_weight:
            found = torch.ops.aten.convolution_backward(
                gradient,
                x,
                weight,
                None,
                [ctx.stride] * 2,
                [ctx.padding] * 2,
                [1, 1],
                False,
                [0, 0],
                1,
                [needs_x, needs_weight, False],
            )
            x_gradient = found[0] if needs_x else x_gradient
            weight_gradient = found[1] if needs_weight else weight_gradient
        bias_gradient = gradient.sum((0, 2, 3)) if needs_bias else None
        residual_gradient = gradient if needs_residual else None
        return x_gradient, weight_gradient, bias_gradient, residual_gradient, None, None, None


def _pointwise_gradient(x: Tensor, weight: Tensor, gradient: Tensor, stride: int) -> Tensor:
    """Return the gradient of the input of a 1x1 convolution."""
    pixels = _pixels_last(gradient)
    products = (
        multiply_rows(pixels.flatten(0, 2), weight.flatten(1))
        .unflatten(0, pixels.shape[:3])
        .permute(0, 3, 1, 2)
    )
    if stride == 1:
        return products
    x_gradient = torch.zeros_like(x, memory_format=torch.channels_last)
    x_gradient[:, :, ::stride, ::stride] = products
    return x_gradient


def _weight_gradient(x: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int) -> Tensor:
    """Return the gradient of the weights as a product of patches, a few frames at a time."""
    size = weight.shape[-1]
    # Patches are a copy of the pixels k * k times over; they may not outgrow the weights by much.
    frames = len(x) if size == 1 else max(1, 2 * weight.numel() // (size * size * x[0].numel()))
    total: Tensor | None = None
    for some, some_gradient in zip(x.split(frames), gradient.split(frames), strict=True):
        rows = _pixels_last(some_gradient).flatten(0, 2)
        grid = (some_gradient.shape[2], some_gradient.shape[3])
        product = multiply_columns(rows, _patches(_pixels_last(some), grid, size, stride, padding))
        # Chunks are summed in full precision, as the pixels within a product are.
        total = product if total is None else total.float().add_(product)
    assert total is not None, "a convolution of no frames has no gradient"
    return total.to(weight.dtype).view(len(weight), size, size, -1).permute(0, 3, 1, 2)


def _patches(pixels: Tensor, grid: tuple[int, int], size: int, stride: int, padding: int) -> Tensor:
    """Return the patch ``(F * h * w, k * k * C)`` under each place of the grid of pixels ``(F, H, W, C)``."""
    height, width = (stride * (length - 1) + 1 for length in grid)
    padded = F.pad(pixels, (0, 0, padding, padding, padding, padding)) if padding else pixels
    seen = [
        padded[:, row : row + height : stride, column : column + width : stride]
        for row in range(size)
        for column in range(size)
    ]
    return (seen[0] if size == 1 else torch.cat(seen, -1)).flatten(0, 2)


def _pixels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
