"""Makes an optimizer step in one pass over weights, gradients and moments, where PyTorch can on the device."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer


def fuse_step(optimizer: Optimizer, settings: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
    """Return an optimizer that does the same in one pass, and the settings it is built with.

    Or both as they are.

    Args:
        optimizer: without state; Adam, AdamW and SGD have such a step, on a CPU from PyTorch 2.4.
        settings: arguments it was built with; one that names ``fused``, ``foreach``, ``capturable`` or
            ``differentiable`` is kept.
    """
    settings = dict(settings)
    choices = {"fused", "foreach", "capturable", "differentiable"}
    if "fused" not in inspect.signature(type(optimizer)).parameters or choices & settings.keys():
        return optimizer, settings
    fused = {**settings, "fused": True}
    # Groups remember the choice of the first optimizer and would win over an argument.
    groups = [{**group, "fused": True} for group in optimizer.param_groups]
    kinds = {(parameter.device, parameter.dtype) for group in groups for parameter in group["params"]}
    try:
        for device, dtype in kinds:
            probe = torch.zeros(1, dtype=dtype, device=device)
            probe.grad = torch.zeros_like(probe)
            type(optimizer)([{**groups[0], "params": [probe]}], **fused).step()
    except (
        RuntimeError
    ):  # no such step for this device or kind of number, which some versions say only when it is due
        return optimizer, settings
    return type(optimizer)(groups, **fused), fused
