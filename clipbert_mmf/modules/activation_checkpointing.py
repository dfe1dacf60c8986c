"""Activation checkpointing: a part's inner results are dropped and computed again for the gradient (figure 5's memory)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_or_recompute(
    part: Callable[..., Tensor],
    first: Tensor,
    *others: object,
    recompute: bool,
    owner: nn.Module | None = None,
) -> Tensor:
    """Call a part; with ``recompute`` keep only its input, and call it again in the backward pass.

    Random numbers are drawn alike both times. A part without a gradient to compute keeps nothing in any case.

    Args:
        part: called with ``first`` and ``others``.
        first: what a gradient may flow to.
        recompute: whether to.
        owner: the module whose parameters the part uses, where the part is not it.
    """
    parameters = (owner or part).parameters()
    needed = torch.is_grad_enabled() and (first.requires_grad or any(p.requires_grad for p in parameters))
    if not (recompute and needed):
        return part(first, *others)
    return checkpoint(part, first, *others, use_reentrant=False)
