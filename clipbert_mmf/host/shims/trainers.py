"""Compatibility patches for how MMF finds its trainers and stops them early."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any


def name_known_trainers(module: Any) -> None:
    """Name the trainers there are where ``training.trainer`` is none of them.

    MMF calls None ("'NoneType' object is not callable"). Remove when MMF checks what it found.
    """
    build = module.build_trainer

    @functools.wraps(build)
    def build_trainer(config: Any) -> Any:
        name = config.training.trainer
        if module.registry.get_trainer_class(name) is None:
            known = sorted(
                set(module.registry.mapping["trainer_name_mapping"]) - {"base"}
            )  # main's abstract one
            raise ValueError(f"training.trainer is {name!r}; this version of MMF has {', '.join(known)}")
        return build(config)

    module.build_trainer = build_trainer


def watch_validation(module: Any) -> None:
    """Put ``val/`` before the criterion of early stopping wherever it is missing.

    MMF does so where "val" is nowhere in it, and "retrieval" has one, so that the first validation raises.
    Remove when MMF looks at the beginning.
    """
    init = module.EarlyStopping.__init__

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  replaces EarlyStopping's own
        init(self, *args, **kwargs)
        if not self.early_stop_criteria.startswith(("val/", "train/", "test/")):
            self.early_stop_criteria = self.metric = f"val/{self.early_stop_criteria}"

    module.EarlyStopping.__init__ = __init__


def keep_patience(module: Any) -> None:
    """Restore the update of the best value from a checkpoint.

    MMF takes it for 0, so that a resumed run may stop at its first validation. Remove when MMF restores it.
    """
    restore = module.EarlyStopping.init_from_checkpoint

    @functools.wraps(restore)
    def init_from_checkpoint(self: Any, load: Mapping[str, Any]) -> None:
        restore(self, load)
        if "best_update" in load:
            self.best_monitored_update = load["best_update"]

    module.EarlyStopping.init_from_checkpoint = init_from_checkpoint
