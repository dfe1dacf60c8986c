"""ResNets whose batch norms were folded into the convolutions before them, as networks for inference are saved."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

#: The bias of a convolution in torchvision's names, and the norm behind it.
_CONV_BIAS = re.compile(r"((?:^|.*\.)(?:layer\d+\.\d+\.)?)(?:conv(\d)|downsample\.(0))\.bias")
#: Added to a variance before the norm takes its root.
_EPS = 1e-5


def restore_norms(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with a norm for the bias of each convolution: factor 1, mean 0, variance 1.

    A file that has norms comes back as it is.

    Args:
        tensors: by torchvision's names, behind any prefix.
    """
    restored = dict(tensors)
    if any(re.search(r"(^|\.)bn1\.", name) for name in tensors):
        return restored
    for name, bias in tensors.items():
        match = _CONV_BIAS.fullmatch(name)
        if match:
            norm = f"{match[1]}bn{match[2]}" if match[2] else f"{match[1]}downsample.1"
            del restored[name]
            restored |= {
                f"{norm}.weight": torch.ones_like(bias),
                f"{norm}.bias": bias,
                f"{norm}.running_mean": torch.zeros_like(bias),
                f"{norm}.running_var": torch.ones_like(bias) - _EPS,
            }
    return restored


def are_norms_folded(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether every norm has mean 0 and variance 1 and some has a bias, so that it only adds this."""
    means = [value for name, value in tensors.items() if name.endswith("running_mean")]
    variances = [value for name, value in tensors.items() if name.endswith("running_var")]
    norms = [name.removesuffix("running_mean") for name in tensors if name.endswith("running_mean")]
    biases = [tensors[f"{norm}bias"] for norm in norms if f"{norm}bias" in tensors]
    return (
        bool(means)
        and not any(bool(value.any()) for value in means)
        and all(bool((value - 1).abs().max() < 1e-3) for value in variances)
        and any(bool(value.any()) for value in biases)
    )
