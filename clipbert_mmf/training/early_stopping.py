"""Decides after each validation whether its state is the best so far, and whether training goes on."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from clipbert_mmf.configuration import ConfigurationError, suggest
from clipbert_mmf.training.options import EarlyStopOptions

logger = logging.getLogger(__name__)

_DIRECTIONS = {True: "smallest", False: "largest"}


class EarlyStopping:
    """Remembers the best value of one number. Every process decides alike, for all measure the same.

    Attributes are named as MMF's, whose callbacks of users may read them.

    Args:
        options: which number, which direction, and for how long to wait.
    """

    def __init__(self, options: EarlyStopOptions) -> None:
        self.options = options
        criterion = options.criteria
        prefixed = criterion.startswith(("val/", "train/", "test/"))
        self.early_stop_criteria = criterion if prefixed else f"val/{criterion}"
        self.best_monitored_value = math.inf if options.minimize else -math.inf
        self.best_monitored_update = 0
        self.best_monitored_iteration = 0
        #: Hash of the best weights, on rank 0; None where a checkpoint does not say.
        self.best_hash: str | None = None
        self.activated = False

    @property
    def has_best(self) -> bool:
        """Tell whether some validation was the best so far."""
        return math.isfinite(self.best_monitored_value)

    @property
    def should_stop(self) -> bool:
        """Tell whether training ends: no better value for longer than the patience."""
        return self.activated and self.options.enabled

    def update(self, numbers: Mapping[str, float], update: int, iteration: int) -> bool:
        """Take the numbers of a validation and return whether they are the best so far.

        Args:
            numbers: losses and metrics by key, such as ``val/msrvtt_retrieval/clipbert_retrieval/t2v_r1``.
            update: after which it ran.
            iteration: number of batches read by then.

        Raises:
            ConfigurationError: if the criterion is not among the numbers.
        """
        key = self.early_stop_criteria
        if key not in numbers:
            raise ConfigurationError(
                f"training.early_stop.criteria is '{key}', but validation gave "
                f"{sorted(numbers)}{suggest(key, numbers)}"
            )
        value, best = numbers[key], self.best_monitored_value
        is_better = value < best if self.options.minimize else value > best
        if is_better:
            self.best_monitored_value = value
            self.best_monitored_update, self.best_monitored_iteration = update, iteration
        else:
            self.activated = self.best_monitored_update + self.options.patience < update
        return is_better

    def has_waited(self, update: int) -> bool:
        """Tell whether the validation after an update has ended training, as a resumed run must know."""
        waited = self.has_best and self.best_monitored_update + self.options.patience < update
        return self.options.enabled and waited

    def forget_best(self) -> None:
        """Start the best value anew."""
        self.best_monitored_value = math.inf if self.options.minimize else -math.inf
        self.best_monitored_update = self.best_monitored_iteration = 0
        self.best_hash = None

    def get_info(self) -> dict[str, Any]:
        """Return the best value and its place, for messages."""
        return {
            "best_update": self.best_monitored_update,
            "best_iteration": self.best_monitored_iteration,
            f"best_{self.early_stop_criteria}": f"{self.best_monitored_value:.6f}",
        }

    def describe(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, under MMF's keys."""
        return {
            "best_iteration": self.best_monitored_iteration,
            "best_update": self.best_monitored_update,
            "best_metric_value": self.best_monitored_value,
            "best_weights_hash": self.best_hash,
        }

    def restore(self, state: Mapping[str, Any], criterion: str | None, minimizes: bool | None = None) -> None:
        """Take over the best value of a checkpoint, unless that run watched another number.

        Args:
            state: a checkpoint.
            criterion: key of the number the checkpoint's run watched; None where it does not say.
            minimizes: whether a smaller value was a better one; None where it does not say.
        """
        is_same = criterion in (None, self.early_stop_criteria)
        if not is_same or minimizes not in (None, self.options.minimize):
            logger.warning(
                "the best value starts anew: the checkpoint's run looked for the %s of %s, this one for the %s "
                "of %s",
                _DIRECTIONS[self.options.minimize if minimizes is None else minimizes],
                criterion,
                _DIRECTIONS[self.options.minimize],
                self.early_stop_criteria,
            )
            return
        self.best_monitored_iteration = state.get("best_iteration", self.best_monitored_iteration)
        self.best_monitored_value = state.get("best_metric_value", self.best_monitored_value)
        self.best_monitored_update = state.get("best_update", self.best_monitored_update)
        self.best_hash = state.get("best_weights_hash")
