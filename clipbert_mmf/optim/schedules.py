"""Learning-rate schedules whose warm-up is a share of the run, not a number of updates (spec section 6)."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

#: Name of a decay -> the factor of the learning rate at a share of the decay that is done, 0 to 1.
DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "constant": lambda done: 1.0,
}


def compute_warmup_factor(
    update: int, num_updates: int, warmup_fraction: float, decay: Callable[[float], float]
) -> float:
    """Return the factor by which the learning rate of one update is multiplied.

    Warm-up covers the first ``round(warmup_fraction * num_updates)`` updates and reaches 1 with its last; no
    update runs at 0, neither the first nor the last.

    Args:
        update: 0 for the first.
        num_updates: length of the run.
        warmup_fraction: 0 to 1.
        decay: maps the share of the decay that is done, 0 to 1, to a factor.
    """
    num_warmup = round(warmup_fraction * num_updates)
    step = update + 1
    if step <= num_warmup:
        return step / num_warmup
    start = max(1, num_warmup)
    return decay(min(1.0, (step - start) / (num_updates + 1 - start)))


def make_warmup_schedule(
    optimizer: Optimizer, decay: str, num_updates: int, warmup_fraction: float = 0.1
) -> LambdaLR:
    """Return a schedule that warms up to the optimizer's learning rates, then decays.

    Args:
        optimizer: every group keeps its own rate as the maximum.
        decay: a key of ``DECAYS``.
        num_updates: length of the run.
        warmup_fraction: share of the run, 0 to 1.

    Raises:
        ValueError: if the fraction is out of range.
    """
    if not 0.0 <= warmup_fraction <= 1.0:
        raise ValueError(f"scheduler.params.warmup_fraction is {warmup_fraction}; it must be between 0 and 1")
    shape = DECAYS[decay]
    return LambdaLR(
        optimizer, lambda update: compute_warmup_factor(update, num_updates, warmup_fraction, shape)
    )
