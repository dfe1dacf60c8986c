"""Each part of the network has its learning rate, and only matrices decay."""

from torch import nn

from clipbert_mmf.optim.param_groups import make_param_groups


def test_parts_have_their_rates_vectors_do_not_decay_and_frozen_weights_are_left_out():
    network = nn.ModuleDict({"backbone": nn.Linear(2, 3), "head": nn.Linear(3, 2), "frozen": nn.Linear(1, 1)})
    network["frozen"].requires_grad_(False)
    groups = make_param_groups(network, 0.1, 0.01, {"backbone": 0.5, "transformer": 1.0})
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found == {
        id(network["backbone"].weight): (0.05, 0.01),
        id(network["backbone"].bias): (0.05, 0.0),
        id(network["head"].weight): (0.1, 0.01),
        id(network["head"].bias): (0.1, 0.0),
    }
