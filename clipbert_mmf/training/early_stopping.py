"""Decides after each validation whether its state is the best so far, and whether to go on.

Comes after ``evaluation_loop``; saves through ``checkpoints``.
"""

from __future__ import annotations

from mmf.utils.early_stopping import EarlyStopping

from clipbert_mmf.training.checkpoints import RUN_STATE


class RunEarlyStopping(EarlyStopping):
    """MMF's early stopping, which every process decides alike, and which survives a resume.

    Three differences: a criterion that contains "val" anywhere ("retrieval") is prefixed as well; the update of the
    best value is restored with it; nothing is restored in the middle of the loop, where other processes do not follow.
    """

    def __init__(self, model, checkpoint, criterion: str, patience: int, minimize: bool, should_stop: bool):
        super().__init__(
            model, checkpoint, criterion, patience=patience, minimize=minimize, should_stop=should_stop
        )
        prefixed = criterion.startswith(("val/", "train/", "test/"))
        self.early_stop_criteria = self.metric = criterion if prefixed else f"val/{criterion}"

    def __call__(self, update, iteration, meter) -> bool:
        """Save, as the best if it is, and tell whether to stop.

        Raises:
            ValueError: if the criterion is not among what validation measured.
        """
        if self.early_stop_criteria not in meter.meters:
            raise ValueError(
                f"training.early_stop.criteria is '{self.early_stop_criteria}', but validation gave "
                f"{sorted(meter.meters)}"
            )
        value = float(meter.meters[self.early_stop_criteria].global_avg)
        better = value < self.best_monitored_value if self.minimize else value > self.best_monitored_value
        if better:
            self.best_monitored_value = value
            self.best_monitored_iteration, self.best_monitored_update = iteration, update
        else:
            self.activated = self.best_monitored_update + self.patience < update
        self.checkpoint.save(update, iteration, update_best=better)
        return bool(self.activated and self.should_stop)

    def init_from_checkpoint(self, load):
        """Take over the best value, where the checkpoint is continued and watched the same criterion."""
        watched = load.get(RUN_STATE, {}).get("criterion", self.early_stop_criteria)
        if self.checkpoint.resets_counts or watched != self.early_stop_criteria:
            return
        super().init_from_checkpoint(load)
        self.best_monitored_update = load.get("best_update", self.best_monitored_update)
