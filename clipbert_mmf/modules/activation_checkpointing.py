"""Activation checkpointing: drops the inner results of a module and computes them again for the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

#: Rows that are recomputed at once where the configuration says nothing. Few on a CPU, whose time hardly depends on
#: their number. Chunks of two frames took 21x the time of a step of 64 on an H100, chunks of 16 4.4x.
_ROWS_AT_ONCE, _ROWS_AT_ONCE_CUDA = 2, 64


def choose_rows_at_once(device: torch.device) -> int:
    """Return the rows that go through a network at once where the configuration says nothing."""
    return _ROWS_AT_ONCE_CUDA if device.type == "cuda" else _ROWS_AT_ONCE


def run_or_recompute(
    part: nn.Module | Callable[..., Tensor],
    first: Tensor,
    *others: Any,
    recompute: bool,
    owner: nn.Module | None = None,
) -> Tensor:
    """Call a module; with ``recompute`` keep only its input, and call it again in the backward pass.

    Both calls draw the same random numbers. A module without a gradient to compute keeps nothing in any case.

    Args:
        part: called with ``first`` and ``others``.
        first: tensor that a gradient may flow to.
        *others: further arguments.
        recompute: whether the backward pass calls the module again.
        owner: module whose parameters ``part`` uses, where ``part`` is a function.
    """
    module = owner if owner is not None else part
    trains = isinstance(module, nn.Module) and any(p.requires_grad for p in module.parameters())
    if not (recompute and torch.is_grad_enabled() and (first.requires_grad or trains)):
        return part(first, *others)
    result: Any = checkpoint(part, first, *others, use_reentrant=False)
    return result


def recompute_in_chunks(
    encode: Callable[[Tensor], Tensor], rows: Tensor, chunk: int | None, *, owner: nn.Module
) -> Tensor:
    """Encode rows a chunk at a time; each chunk keeps its input alone and is encoded again in the backward pass.

    Args:
        encode: from ``(n, ...)`` to ``(n, ...)``, each row on its own.
        rows: ``(N, ...)``.
        chunk: rows at once; None chooses by the device.
        owner: module whose parameters ``encode`` uses.
    """
    parts = rows.split(chunk or choose_rows_at_once(rows.device))
    return torch.cat([run_or_recompute(encode, part, recompute=True, owner=owner) for part in parts])
