"""Our own checkpoints: what fits is used, the rest is reported, and no file can run code."""

import pickle

import pytest
import torch
from torch import nn

from clipbert_mmf.weights.checkpoint import load_checkpoint, read_checkpoint


def make_network(head=3):
    return nn.ModuleDict({"encoder": nn.Linear(4, 5), "head": nn.Linear(5, head)})


def test_everything_but_the_new_head_is_used(tmp_path, caplog):
    caplog.set_level("INFO")
    before, after = make_network(3), make_network(2)
    torch.save({"model": {f"network.{name}": value for name, value in before.state_dict().items()}}, tmp_path / "a.pth")
    report = load_checkpoint(after, tmp_path / "a.pth")
    assert torch.equal(after["encoder"].weight, before["encoder"].weight)
    assert sorted(report.used) == ["encoder.bias", "encoder.weight"]
    assert report.wrong_shape["head.bias"] == ((3,), (2,))
    assert "2 used" in caplog.text and "2 wrong shape" in caplog.text


def test_missing_and_left_over_names_are_reported_and_strict_raises(tmp_path):
    torch.save({"encoder.weight": torch.zeros(5, 4), "other": torch.zeros(1)}, tmp_path / "a.pth")
    report = load_checkpoint(make_network(), tmp_path / "a.pth")
    assert report.left_over == ["other"] and "encoder.bias" in report.missing
    with pytest.raises(ValueError, match="does not fit the model: 1 used; 3 missing"):
        load_checkpoint(make_network(), tmp_path / "a.pth", strict=True)


def test_a_file_with_nothing_for_us_is_an_error(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="does not fit the model: 0 used"):
        load_checkpoint(make_network(), tmp_path / "a.pth")


class Malicious:
    def __reduce__(self):
        return (open, ("/tmp/clipbert_mmf_was_here", "w"))


def test_a_file_that_holds_code_is_refused(tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": Malicious()}))
    with pytest.raises(ValueError, match="cannot be read as PyTorch weights"):
        read_checkpoint(tmp_path / "evil.pth")


def test_missing_files_and_other_content_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="weights.clipbert is '.*none.pth': no such file"):
        read_checkpoint(tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        read_checkpoint(tmp_path / "list.pth")
