"""Sorts parameters into optimizer groups (spec section 6).

A learning rate per part, no decay on biases and norms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

#: Modules of the network whose learning rate the key ``backbone`` governs; the rest is ``transformer``.
_BACKBONE = ("backbone.", "grid_encoder.")


def make_param_groups(
    network: nn.Module, base_lr: float, weight_decay: float, factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Sort trainable parameters into at most four groups.

    Args:
        network: its parameter names decide the part.
        base_lr: the run's learning rate.
        weight_decay: for matrices; vectors (biases, norms) get none.
        factors: multiplies ``base_lr``, for ``backbone`` and ``transformer``.

    Returns:
        Groups with ``params``, ``lr`` and ``weight_decay``.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            part = "backbone" if name.startswith(_BACKBONE) else "transformer"
            groups.setdefault((part, parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": base_lr * float(factors[part]),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in groups.items()
    ]
