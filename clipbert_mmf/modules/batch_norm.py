"""Batch norms: with the statistics of the items that all processes read together, and with stored ones.

The first lets one process train as several.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipbert_mmf.scoring.gathering import counts_here, is_distributed, sum_over_ranks


class FrozenBatchNorm(nn.Module):
    """Normalize with stored statistics, scale and bias, which never train.

    torchvision has the same class; importing torchvision takes a second and a half, and nothing else of it is needed.

    Args:
        channels: C.
        eps: added to the variance.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def compute_factors(self) -> tuple[Tensor, Tensor]:
        """Return ``(C,)`` scale and bias with which the norm is ``scale * x + bias``."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(F, C, h, w)`` for the same shape."""
        scale, bias = self.compute_factors()
        return x * _per_channel(scale) + _per_channel(bias)

    def extra_repr(self) -> str:
        """Return the sizes that ``repr`` shows."""
        return f"{len(self.weight)}, eps={self.eps}"

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any, **named: Any
    ) -> None:
        # Files of norms that trained count their batches.
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *arguments, **named)


class SyncedBatchNorm(nn.BatchNorm2d):
    """Compute training's mean and variance over the batches of all processes.

    ``nn.SyncBatchNorm`` does so on GPUs alone. In one process, and in evaluation, it is ``nn.BatchNorm2d``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return ``(F, C, h, w)`` with mean 0 and variance 1 per channel, times weight, plus bias."""
        if not (self.training and is_distributed()):
            return super().forward(input)
        output, mean, variance, count = _Normalize.apply(input, self.weight, self.bias, self.eps)
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            momentum = self.momentum if self.momentum is not None else 0.1
            for running, value in ((self.running_mean, mean), (self.running_var, unbiased)):
                assert running is not None
                running.lerp_(value.to(running.dtype), momentum)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        return output


class _Normalize(torch.autograd.Function):
    """Normalize with the statistics of all ranks; a rank without an item of its own adds nothing to them."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        ctx.counts = counts_here()
        values, places = x.float(), (0, 2, 3)
        count = values.new_full((1,), x.numel() // x.shape[1])
        sums = sum_over_ranks(torch.cat([values.sum(places), count]) * ctx.counts)
        mean, count = sums[:-1] / sums[-1], sums[-1]
        squares = (values - _per_channel(mean)).square().sum(places)
        variance = sum_over_ranks(squares * ctx.counts) / count
        ctx.save_for_backward(x, mean, (variance + eps).rsqrt(), weight, count)
        ctx.mark_non_differentiable(mean, variance, count)
        # PyTorch's own arithmetic: another would decide near ties of ReLU and max-pooling otherwise than one process.
        output = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        return output, mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # torch types it with *args
        x, mean, scale, weight, count = ctx.saved_tensors
        places, gradients = (0, 2, 3), gradient.float()
        normal = (x.float() - _per_channel(mean)) * _per_channel(scale)
        bias_gradient, weight_gradient = gradients.sum(places), (gradients * normal).sum(places)
        # What a value adds to mean and variance reaches the losses of all ranks.
        sums = sum_over_ranks(torch.cat([bias_gradient, weight_gradient])) / count * ctx.counts
        by_mean, by_variance = sums.chunk(2)
        x_gradient = gradients - _per_channel(by_mean) - normal * _per_channel(by_variance)
        return (x_gradient * _per_channel(scale * weight)).to(x.dtype), weight_gradient, bias_gradient, None


def _per_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
