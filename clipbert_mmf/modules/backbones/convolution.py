"""Convolves, adds and rectifies.

The plain path, and on a CPU the path of ``fused_convolution`` where that file is present.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch.nn.functional as F
from torch import Tensor


def _find_fused() -> ModuleType | None:
    """Return the optional module ``fused_convolution``, or None without it."""
    try:
        return importlib.import_module("clipbert_mmf.modules.backbones.fused_convolution")
    except ImportError:
        return None


_FUSED = _find_fused()


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    residual: Tensor | None = None,
    activate: bool = False,
) -> Tensor:
    """Return ``relu(conv2d(x, weight, bias) + residual)``; bias, residual and ReLU are optional.

    Args:
        x: ``(F, C, H, W)``; channels-last is fast.
        weight: ``(O, C, k, k)``.
        bias: ``(O,)`` or None.
        stride: the same in both directions.
        padding: the same in both directions.
        residual: ``(F, O, h, w)`` or None.
        activate: whether negative values become 0.

    Returns:
        ``(F, O, h, w)``, under autocast in its precision.
    """
    if _FUSED is not None and _FUSED.can_fuse(x):
        return _FUSED.fuse_convolution(x, weight, bias, stride, padding, residual, activate)
    y = F.conv2d(x, weight, bias, stride, padding)
    # In place: neither convolution nor sum needs its result for the gradient.
    y = y if residual is None else y.add_(residual)
    return F.relu_(y) if activate else y
