"""A file fills its network completely or not at all; shared tensors are saved once."""

import pytest
import torch

from clipbert_mmf.inference.network_files import count_outputs, distinct_tensors, load_network, shared_names
from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.files import WeightsFileError, read_weights
from tests.network_settings import small_config


def save(network, path, **changes):
    torch.save({**network.state_dict(), **changes}, path)
    return read_weights(path)


def test_the_weights_of_a_file_come_back_and_the_callers_random_numbers_stay(tmp_path):
    network = build_network(small_config())
    file = save(network, tmp_path / "x.pth")
    before = torch.get_rng_state()
    found = load_network(small_config(), file).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())
    assert count_outputs(file) == 2


def test_another_network_and_another_model_are_refused(tmp_path):
    file = save(build_network(small_config()), tmp_path / "x.pth")
    with pytest.raises(WeightsFileError, match="is not of the network that its configuration describes"):
        load_network(small_config(transformer__num_layers=3), file)
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "y.pth")
    with pytest.raises(WeightsFileError, match="is not a ClipBERT"):
        load_network(small_config(), read_weights(tmp_path / "y.pth"))


def test_the_word_embeddings_that_the_pre_training_head_shares_are_saved_once():
    network = build_network(small_config(head={"type": "pretrain"}))
    shared = shared_names(network)
    assert len(shared) == 1 and "head.decoder.weight" in {*shared, *shared.values()}
    tensors = distinct_tensors(network)
    assert set(network.state_dict()) - set(tensors) == set(shared)
    assert all(value.is_contiguous() and value.device.type == "cpu" for value in tensors.values())
