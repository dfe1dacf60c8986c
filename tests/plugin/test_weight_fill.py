"""Weights that no file has set are refused before an evaluation."""

import pytest
import torch
from torch import nn

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.weight_fill import WeightFill


class Network(nn.Module):
    def __init__(self, *heads):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.head = nn.ModuleDict({name: nn.Linear(2, 1) for name in heads}) if heads else nn.Linear(2, 1)


def name_state(network):
    return {f"network.{name}": value for name, value in network.state_dict().items()}


def test_the_names_of_wrapped_and_renamed_models_are_found():
    network = Network()
    fill = WeightFill(network, "network.")
    state = name_state(network)
    for before in ("network.", "module.network.", "_orig_mod.model.", ""):
        given = {f"{before}{name.removeprefix('network.')}": value for name, value in state.items()}
        assert set(fill.match(given, "a.ckpt")) == set(state)


def test_missing_unknown_and_other_weights_are_named():
    network = Network()
    fill = WeightFill(network, "network.")
    state = name_state(network)
    for change, words in (
        ({"network.body.bias": None}, r"1 weights of the model are not in it \(network\.body\.bias\)"),
        ({"ema.x": torch.zeros(1)}, r"1 of its weights have no place in the model \(ema\.x\)"),
        ({"network.head.weight": torch.zeros(3, 2)}, r"network\.head\.weight 3x2, here 1x2"),
    ):
        given = {name: value for name, value in {**state, **change}.items() if value is not None}
        with pytest.raises(ConfigurationError, match=words):
            fill.match(given, "a.ckpt")


def test_only_the_heads_that_are_asked_must_have_weights():
    whole, network = Network("a", "b"), Network("a", "b")
    state = {name: value for name, value in name_state(whole).items() if ".b." not in name}
    assert set(WeightFill(network, "network.", ["b"]).match(state, "a.ckpt")) == set(state)
    with pytest.raises(ConfigurationError, match=r"network\.head\.b\.weight"):
        WeightFill(network, "network.").match(state, "a.ckpt")
    several = name_state(Network("a", "b", "c"))
    assert set(WeightFill(network, "network.").match(several, "a.ckpt")) == set(name_state(network))


def test_an_evaluation_needs_weights_that_a_file_or_training_has_set():
    network = Network()
    fill = WeightFill(network, "network.")
    with pytest.raises(ConfigurationError, match="does not train and has no weights"):
        fill.require_all("no checkpoint")
    with torch.no_grad():  # as MMF copies what checkpoint.pretrained_state_mapping names
        network.body.weight.copy_(torch.ones(2, 2))
        network.body.bias.copy_(torch.ones(2))
    with pytest.raises(ConfigurationError, match=r"2 weights of the model are not in it \(network\.head"):
        fill.require_all("a.ckpt")
    fill.add(["network.head.weight", "network.head.bias"])
    fill.require_all("a.ckpt")
    trained = WeightFill(Network(), "network.")
    trained.has_trained = True
    trained.require_all("no checkpoint")
