"""Registers the learning-rate schedules with MMF and tells them the length of the run.

Our trainer announces the number of updates (``announce_updates``); with MMF's own trainers it is
``training.max_updates``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mmf.common.registry import registry
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clipbert_mmf.optim.schedules import DECAYS, make_warmup_schedule

_UPDATES_KEY = "clipbert_num_updates"


def announce_updates(num_updates: int | None) -> None:
    """Tell the schedules built from now on how many updates the run has; None takes it back."""
    registry.register(_UPDATES_KEY, num_updates)


def _find_num_updates(num_updates: int | None) -> int:
    announced = registry.get(_UPDATES_KEY, no_warning=True)
    config: Any = registry.get("config", no_warning=True)
    if announced == 0:  # a run that ends with its first stage; any schedule will do
        return 1
    found: Any = num_updates or announced or (config.training.max_updates if config is not None else None)
    if not found or found < 1:
        raise ValueError(
            "the schedule needs the number of updates: set training.max_updates, or "
            "scheduler.params.num_updates"
        )
    return int(found)


def build_warmup_schedule(
    decay: str, optimizer: Optimizer, warmup_fraction: float = 0.1, num_updates: int | None = None
) -> LambdaLR:
    """Build a schedule from ``scheduler.params``; see ``make_warmup_schedule``.

    Args:
        decay: a key of ``DECAYS``.
        optimizer: whose rates are scheduled.
        warmup_fraction: share of the run, 0 to 1.
        num_updates: length of the run; None takes the trainer's.

    Raises:
        ValueError: if the fraction is out of range or the number of updates is unknown.
    """
    return make_warmup_schedule(optimizer, decay, _find_num_updates(num_updates), warmup_fraction)


for _decay in DECAYS:
    registry.register_scheduler(f"clipbert_warmup_{_decay}")(partial(build_warmup_schedule, _decay))
