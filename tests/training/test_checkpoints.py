"""Checkpoints survive what happens while they are written."""

import pytest
import torch

from clipbert_mmf.training import checkpoints
from clipbert_mmf.training.checkpoints import save_atomically
from clipbert_mmf.training.options import CheckpointOptions
from tests.training.plain_host import Parts


def test_a_save_that_breaks_off_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "current.ckpt"
    save_atomically({"num_updates": 1}, path)

    def break_off(state, file):
        file.write(b"half a checkpoint")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.torch, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        save_atomically({"num_updates": 2}, path)
    monkeypatch.undo()
    assert torch.load(path) == {"num_updates": 1}


def test_the_best_checkpoint_shares_no_bytes_with_what_is_written_later(tmp_path):
    source, linked, copied = (tmp_path / name for name in ("model_1.ckpt", "current.ckpt", "best.ckpt"))
    source.write_bytes(b"one")
    checkpoints._copy_atomically(source, linked, link=True)
    checkpoints._copy_atomically(source, copied, link=False)
    assert linked.samefile(source) and not copied.samefile(source)
    source.write_bytes(b"two")  # MMF's own trainer writes into the file that is there
    assert copied.read_bytes() == b"one"


def test_a_scaler_or_schedule_state_of_plain_values_is_told_from_one_with_objects():
    assert checkpoints.is_plain({"last_epoch": 3, "base_lrs": [0.1, None], "nested": {1: (True, "a")}})
    assert not checkpoints.is_plain({"config": object()})


def test_a_run_of_version_0_1_is_refused_before_anything_is_loaded(tmp_path):
    parts = Parts(tmp_path)
    parts.checkpointer.save()
    state = torch.load(tmp_path / "current.ckpt", weights_only=True)
    state[checkpoints.RUN_STATE]["version"] = 1
    torch.save(state, tmp_path / "current.ckpt")
    for resume in (
        lambda: checkpoints.find_stored_seed(CheckpointOptions(resume=True), tmp_path),
        lambda: parts.checkpointer.load(state, state["model"], "current.ckpt", weights_only=False),
    ):
        with pytest.raises(
            ValueError, match=r"current.ckpt is a run of clipbert_mmf 0.1 .*resume_pretrained=true"
        ):
            resume()
    parts.checkpointer.load(state, state["model"], "current.ckpt", weights_only=True)


def test_weights_that_do_not_fit_are_counted_and_named(tmp_path, caplog):
    parts = Parts(tmp_path)
    weights = {"layer.weight": torch.zeros(2, 2), "head.bias": torch.zeros(2)}
    parts.checkpointer.load({"model": weights}, weights, "old.ckpt", weights_only=True)
    assert (
        "1 weights of the model are not in it ['layer.bias'], 1 of its weights are not used ['head.bias']"
        in caplog.text
    )
    assert not parts.run.model.layer.weight.any() and parts.run.num_updates == 0


def test_an_optimizer_of_another_model_is_refused_with_what_to_set(tmp_path):
    parts = Parts(tmp_path)
    other = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).state_dict()
    with pytest.raises(
        ValueError, match=r"old.ckpt: its optimizer does not fit .*checkpoint.reset.optimizer=true"
    ):
        parts.checkpointer.load({"optimizer": other}, {}, "old.ckpt", weights_only=False)


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    (tmp_path / "models").mkdir()
    partial = tmp_path / "models" / "model_3.ckpt.part"
    partial.write_bytes(b"half")
    Parts(tmp_path)
    assert not partial.exists()
