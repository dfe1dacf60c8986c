"""Callbacks of users see what MMF's own trainer shows them."""

import json

import pytest

pytest.importorskip("mmf.trainers.callbacks.base", reason="MMF's release has no callbacks")

from mmf.common.registry import registry
from mmf.trainers.callbacks.base import Callback

from tests.toy_runs import PLUGIN, run_here


@registry.register_callback("toy_notes")
class Notes(Callback):
    """Notes each hook with the update and the keys of the meter."""

    seen = ()

    def note(self, name, meter=None, report=None, **more):
        keys = sorted(meter.meters) if meter is not None else None
        has_losses = bool(report["losses"]) if report is not None else None
        Notes.seen.append((name, self.trainer.num_updates, self.trainer.current_epoch, keys, has_losses))


HOOKS = (
    "init_start",
    "train_start",
    "update_start",
    "batch_end",
    "update_end",
    "validation_end",
    "test_end",
    "train_end",
)
for _hook in HOOKS:
    setattr(Notes, f"on_{_hook}", lambda self, _name=_hook, **more: self.note(_name, **more))


def test_hooks_come_in_order_with_counters_report_and_meter(tmp_path):
    Notes.seen = []
    file = tmp_path / "callbacks.yaml"
    section = {"callbacks": [{"type": "toy_notes", "params": {}}]}
    file.write_text(json.dumps({"includes": [str(PLUGIN / "configs" / "run.yaml")], "training": section}))
    run_here(tmp_path / "run", f"config={file}", "training.max_updates=1", "training.evaluation_interval=1")
    names = [name for name, *_ in Notes.seen]
    assert names == [
        *[
            "init_start",
            "train_start",
            "update_start",
            "batch_end",
            "update_end",
            "validation_end",
            "train_end",
        ],
        *["test_end", "test_end"],
    ]
    seen = {name: more for name, *more in Notes.seen}
    train = ["train/total_loss", "train/toy_points/toy_ce"]
    assert seen["batch_end"] == [0, 1, [], True] and seen["update_end"] == [1, 1, train, True]
    numbers = ["val/total_loss", "val/toy_points/accuracy", "val/toy_points/toy_ce"]
    assert seen["validation_end"] == [1, 1, numbers, True] and seen["train_end"][:2] == [1, 1]
