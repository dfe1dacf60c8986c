"""Convolution, sum and ReLU in one pass on a CPU; what other devices do in three.

oneDNN, which PyTorch's CPU convolutions run on, can add a residual and clip at zero while a result is still in a
register; ``torch.compile`` uses the same operators. Gradients of weights come from matrix products over patches where
oneDNN would spend most of the time moving weights from one layout to another. Used by the grid backbone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    residual: Tensor | None = None,
    activate: bool = False,
) -> Tensor:
    """Return ``relu(conv2d(x, weight, bias) + residual)``, with the parts that are asked for.

    Args:
        x: ``(F, C, H, W)``; channels-last is fast.
        weight: ``(O, C, k, k)``.
        bias: ``(O,)`` or None.
        stride, padding: the same in both directions.
        residual: ``(F, O, h, w)`` or None.
        activate: whether negative values become 0.

    Returns:
        ``(F, O, h, w)``, under autocast in its precision.
    """
    dtype = _product_dtype(x)
    if not _can_fuse(x.device.type, dtype):
        y = F.conv2d(x, weight, bias, stride, padding)
        # In place: neither convolution nor sum needs its result for the gradient.
        y = y if residual is None else y.add_(residual)
        return F.relu_(y) if activate else y
    inputs = [None if value is None else value.to(dtype) for value in (x, weight, bias, residual)]
    return _FusedConvolution.apply(*inputs, stride, padding, activate)


def _product_dtype(x: Tensor) -> torch.dtype:
    if not hasattr(torch, "get_autocast_dtype"):  # PyTorch before 2.4
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else x.dtype
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def _can_fuse(device: str, dtype: torch.dtype) -> bool:
    # torch.backends.mkldnn.flags(enabled=False) turns it off, as it does PyTorch's own use of oneDNN.
    if (
        device != "cpu"
        or not torch._C._get_mkldnn_enabled()
        or not hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    ):
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


class _FusedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, residual, stride, padding, activate):
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
    def backward(ctx, gradient):
        x, weight, y = ctx.saved_tensors
        if y is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        needs_x, needs_weight, needs_bias, needs_residual = ctx.needs_input_grad[:4]
        of_x = of_weight = None
        if needs_x and weight.shape[-1] == 1:
            of_x, needs_x = _pointwise_gradient(x, weight, gradient, ctx.stride), False
        if needs_weight and (weight.shape[-1] == 1 or weight.numel() > x.numel()):
            of_weight, needs_weight = _weight_gradient(x, weight, gradient, ctx.stride, ctx.padding), False
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
            of_x, of_weight = found[0] if needs_x else of_x, found[1] if needs_weight else of_weight
        of_bias = gradient.sum((0, 2, 3)) if needs_bias else None
        return of_x, of_weight, of_bias, gradient if needs_residual else None, None, None, None


def _pointwise_gradient(x: Tensor, weight: Tensor, gradient: Tensor, stride: int) -> Tensor:
    """Return the gradient of the input of a 1x1 convolution."""
    pixels = _pixels_last(gradient)
    of_pixels = (pixels.flatten(0, 2) @ weight.flatten(1)).unflatten(0, pixels.shape[:3]).permute(0, 3, 1, 2)
    if stride == 1:
        return of_pixels
    of_x = torch.zeros_like(x, memory_format=torch.channels_last)
    of_x[:, :, ::stride, ::stride] = of_pixels
    return of_x


def _weight_gradient(x: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int) -> Tensor:
    """Return the gradient of the weights as a product of patches, a few frames at a time."""
    size = weight.shape[-1]
    # Patches are a copy of the pixels k * k times over; they may not outgrow the weights by much.
    frames = len(x) if size == 1 else max(1, 2 * weight.numel() // (size * size * x[0].numel()))
    total = None
    for some, of_some in zip(x.split(frames), gradient.split(frames)):
        rows = _pixels_last(of_some).flatten(0, 2)
        product = rows.t() @ _patches(_pixels_last(some), of_some.shape[2:], size, stride, padding)
        # Chunks are summed in full precision, as the pixels within a product are.
        total = product if total is None else total.float().add_(product)
    return total.to(weight.dtype).view(len(weight), size, size, -1).permute(0, 3, 1, 2)


def _patches(pixels: Tensor, grid: tuple[int, int], size: int, stride: int, padding: int) -> Tensor:
    """Return ``(F * h * w, k * k * C)`` of ``(F, H, W, C)``: what each place of the ``(h, w)`` grid sees."""
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
