"""The loop trains without MMF: exact lengths, hooks in order, and a resume that goes on exactly."""

import torch

from clipbert_mmf.training.options import EarlyStopOptions
from tests.toy_runs import losses_by_update, read_records
from tests.training.plain_host import Parts


def test_a_run_ends_after_its_updates_and_validates_and_saves_when_due(tmp_path):
    parts = Parts(tmp_path, log_interval=1, checkpoint_interval=3, update_frequency=2)
    parts.loop.train()
    records = read_records(tmp_path)
    assert list(losses_by_update(records)) == list(range(1, 9)) and parts.run.num_updates == 8
    # Five batches an epoch make updates of two, two and one batches.
    assert [r["epoch"] for r in records if r["split"] == "train"] == [1, 1, 1, 2, 2, 2, 3, 3]
    assert [r["update"] for r in records if r["split"] == "val"] == [4, 8]
    saved = {path.stem for path in (tmp_path / "models").iterdir()}
    assert saved == {"model_3", "model_4", "model_6", "model_8"}
    assert parts.host.globals["num_updates"] == 8 and parts.host.globals["current_epoch"] == 3


def test_hooks_come_in_the_order_of_mmf(tmp_path):
    parts = Parts(tmp_path, max_updates=1, update_frequency=2, evaluation_interval=1)
    parts.loop.train()
    batch = ["on_batch_start", "on_batch_end"]
    assert parts.host.hooks == [
        "on_train_start",
        *["on_update_start", *batch, *batch, "on_update_end"],
        *["on_validation_start", "on_validation_end"],
        "on_train_end",
    ]


def test_a_run_resumed_in_the_middle_of_an_epoch_goes_on_bit_for_bit(tmp_path):
    whole = Parts(tmp_path / "whole", log_interval=1)
    whole.loop.train()
    part = Parts(tmp_path / "part", log_interval=1, max_updates=4)
    part.loop.train()
    resumed = Parts(tmp_path / "part", resume=True, log_interval=1, seed=99)
    assert (resumed.run.num_updates, resumed.run.epoch_position, resumed.run.seed) == (4, 4, 3)
    resumed.loop.train()
    assert losses_by_update(read_records(tmp_path / "part")) == losses_by_update(
        read_records(tmp_path / "whole")
    )
    for value, expected in zip(resumed.run.model.parameters(), whole.run.model.parameters(), strict=True):
        assert torch.equal(value, expected)


def test_early_stopping_ends_training_and_the_best_weights_are_kept(tmp_path):
    stop = EarlyStopOptions(enabled=True, patience=1, criteria="points/accuracy", minimize=False)
    parts = Parts(tmp_path, early_stop=stop, max_updates=50, evaluation_interval=1)
    parts.run.optimizer.param_groups[0]["lr"] = 0.0
    parts.loop.train()
    assert parts.run.num_updates == 3 and parts.run.early_stopping.best_monitored_update == 1
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert best["num_updates"] == 1 and (tmp_path / "final.pth").exists()


def test_batch_norms_that_do_not_see_the_whole_update_are_told(tmp_path, caplog, monkeypatch):
    from clipbert_mmf.modules.batch_norm import SyncedBatchNorm
    from clipbert_mmf.training import loop

    def tell(norm, num_processes, **options):
        parts = Parts(tmp_path, **options)
        parts.run.model.norm = norm
        monkeypatch.setattr(loop, "get_world_size", lambda: num_processes)
        caplog.clear()
        parts.loop._tell_batch_statistics()
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    assert tell(torch.nn.BatchNorm2d(2), 1) == [] and tell(SyncedBatchNorm(2), 2) == []
    (message,) = tell(torch.nn.BatchNorm2d(2), 2)
    assert "2 processes do not train as one does" in message and "norm=group" in message
    (message,) = tell(SyncedBatchNorm(2), 1, update_frequency=2)
    assert "each of the 2 batches of an update" in message
