"""Learning-rate schedules registered with MMF; warm-up is a share of the run, not a number of updates (spec section 6).

The trainer says how many updates the run has (``announce_updates``); with MMF's own trainers it is
``training.max_updates``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mmf.common.registry import registry
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

_UPDATES_KEY = "clipbert_num_updates"


def announce_updates(num_updates: int | None) -> None:
    """Tell the schedules built from now on how many updates the run has; None takes it back."""
    registry.register(_UPDATES_KEY, num_updates)


def _resolve_updates(num_updates: int | None) -> int:
    announced = registry.get(_UPDATES_KEY, no_warning=True)
    config = registry.get("config", no_warning=True)
    found = num_updates or announced or (config.training.max_updates if config is not None else None)
    if not found or found < 1:
        raise ValueError(
            "the schedule needs the number of updates: set training.max_updates, or scheduler.params.num_updates"
        )
    return int(found)


def warmup_factor(
    update: int, num_updates: int, warmup_fraction: float, decay: Callable[[float], float]
) -> float:
    """Return what the learning rate of one update is multiplied with.

    Warm-up covers the first ``round(warmup_fraction * num_updates)`` updates and reaches 1 with its last; no update
    runs at 0, neither the first nor the last.

    Args:
        update: 0 for the first.
        num_updates: of the run.
        warmup_fraction: 0 to 1.
        decay: maps the share of the decay that is done, 0 to 1, to a factor.
    """
    num_warmup = round(warmup_fraction * num_updates)
    step = update + 1
    if step <= num_warmup:
        return step / num_warmup
    start = max(1, num_warmup)
    return decay(min(1.0, (step - start) / (num_updates + 1 - start)))


DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "constant": lambda done: 1.0,
}


class WarmupSchedule(LambdaLR):
    """Warm-up to the optimizer's learning rates, then decay.

    Args:
        optimizer: every group keeps its own rate as the maximum.
        warmup_fraction: share of the run, 0 to 1.
        num_updates: of the run; None takes the trainer's.

    Raises:
        ValueError: if the fraction is out of range or the number of updates is unknown.
    """

    decay: str

    def __init__(self, optimizer: Optimizer, warmup_fraction: float = 0.1, num_updates: int | None = None):
        if not 0.0 <= warmup_fraction <= 1.0:
            raise ValueError(
                f"scheduler.params.warmup_fraction is {warmup_fraction}; it must be between 0 and 1"
            )
        total, decay = _resolve_updates(num_updates), DECAYS[self.decay]
        super().__init__(optimizer, lambda update: warmup_factor(update, total, warmup_fraction, decay))


for _decay in DECAYS:
    registry.register_scheduler(f"clipbert_warmup_{_decay}")(
        type(f"Warmup{_decay.title()}Schedule", (WarmupSchedule,), {"decay": _decay, "__module__": __name__})
    )
