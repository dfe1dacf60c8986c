"""Checkpoints survive what happens while they are written."""

import pytest
import torch

from clipbert_mmf.training import checkpoints
from clipbert_mmf.training.checkpoints import save_atomically


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
