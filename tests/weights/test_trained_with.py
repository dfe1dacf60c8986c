"""What a model was trained with travels in a checkpoint and beside a state dict, as plain values."""

from collections import OrderedDict

import pytest
import torch

from clipbert_mmf.transforms.tokens import StoredTokenizer, load_tokenizer
from clipbert_mmf.weights.files import WeightsFileError, read_weights
from clipbert_mmf.weights.trained_with import KEY, TrainedDataset, TrainedWith, read_trained_with


@pytest.fixture()
def trained(tokenizer_dir):
    stored = StoredTokenizer.of(load_tokenizer(str(tokenizer_dir)))
    processors = {"text_processor": {"type": "clipbert_text", "params": {"max_length": 9}}}
    dataset = TrainedDataset("open_ended", ("red", "blue"), "a.json", stored, "tok", processors)
    return TrainedWith({"msrvtt_qa": dataset}, {"fold": "max"})


def test_it_is_read_back_from_a_checkpoint_and_from_weights_alone(trained, tmp_path):
    state = OrderedDict(x=torch.zeros(2))
    # As a wrapped model writes it.
    vars(state)["_metadata"] = {"module": {KEY: trained.to_dict()}}
    torch.save({"model": {"x": torch.zeros(2)}, KEY: trained.to_dict()}, tmp_path / "best.ckpt")
    torch.save(state, tmp_path / "final.pth")
    torch.save({"state_dict": state}, tmp_path / "own.ckpt")
    for name in ("best.ckpt", "final.pth", "own.ckpt"):
        assert read_weights(tmp_path / name).trained_with == trained
    assert read_trained_with({"model": {"x": torch.zeros(2)}}) is None


def test_a_model_of_one_dataset_has_one_vocabulary(trained):
    assert trained.find("msvd_qa") is trained.datasets["msrvtt_qa"]
    several = TrainedWith({**trained.datasets, "other": TrainedDataset("retrieval")})
    assert several.find("msvd_qa") is None and several.find("other") == TrainedDataset("retrieval")


def test_a_newer_or_damaged_description_is_an_error(trained, tmp_path):
    for change, words in (({"version": 9}, "has version 9"), ({"datasets": {"a": {}}}, "is damaged")):
        torch.save(
            {"model": {"x": torch.zeros(2)}, KEY: {**trained.to_dict(), **change}}, tmp_path / "a.ckpt"
        )
        with pytest.raises(WeightsFileError, match=words):
            read_weights(tmp_path / "a.ckpt")
