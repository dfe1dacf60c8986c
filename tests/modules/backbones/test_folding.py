"""Frozen norms behind convolutions are folded where the network computes the same, values and gradients."""

import copy

import pytest
import torch
from torch import nn

from clipbert_mmf.modules.backbones.folding import FoldedNorm, fold_frozen_norms
from clipbert_mmf.modules.batch_norm import FrozenBatchNorm
from tests.modules.filling import fill


class Conv2dSame(nn.Conv2d):
    """Pads as timm's class of this name."""

    def forward(self, input):
        rows, columns = (
            max((-(-size // 2) - 1) * 2 + 3 - size, 0) for size in input.shape[2:]
        )  # kernel 3, stride 2
        padding = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        return super().forward(nn.functional.pad(input, padding))


class FrozenBatchNormAct2d(FrozenBatchNorm):
    """Activates as timm's class of this name."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


class Toy(nn.Module):
    """Convolutions with and without bias, groups and odd padding, each before a norm."""

    def __init__(self):
        super().__init__()
        self.first, self.norm1 = Conv2dSame(3, 8, 3, stride=2), FrozenBatchNorm(8)
        self.second, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False), FrozenBatchNormAct2d(8)

    def forward(self, x):
        return [self.norm2(self.second(self.norm1(self.first(x))))]


class Reading(Toy):
    """What a convolution returned is read beside its norm."""

    def forward(self, x):
        x = self.norm1(self.first(x))
        y = self.second(x)
        return [self.norm2(y) + y]


class Sharing(Toy):
    """One norm stands behind two convolutions."""

    def forward(self, x):
        return [self.norm1(self.second(self.norm1(self.first(x))))]


def make(kind):
    network = kind()
    fill(network)
    for norm in (network.norm1, network.norm2):
        norm.running_var.abs_().add_(0.5)
    return network


def test_a_folded_network_has_the_same_names_numbers_values_and_gradients():
    plain, folded = make(Toy), make(Toy)
    state = torch.get_rng_state()
    assert fold_frozen_norms(folded) == 2
    assert torch.equal(torch.get_rng_state(), state) and folded.training
    assert isinstance(folded.norm2, FoldedNorm)
    for (name, value), (other, same) in zip(
        plain.state_dict().items(), folded.state_dict().items(), strict=True
    ):
        assert name == other and torch.equal(value, same), name
    copied = copy.deepcopy(folded)
    numbers = {name: value * 1.5 for name, value in plain.state_dict().items()}
    x = torch.linspace(-1, 1, 2 * 3 * 9 * 14).view(2, 3, 9, 14)
    grids, gradients = [], []
    for network in (plain, folded, copied):
        network.load_state_dict(numbers)
        (grid,) = network(x)
        grid.square().sum().backward()
        grids.append(grid)
        gradients.append([value.grad for value in network.parameters()])
    for n in (1, 2):
        torch.testing.assert_close(grids[n], grids[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradients[n], gradients[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Reading, Sharing])
def test_a_network_that_would_compute_something_else_stays_as_it_is(kind):
    network = make(kind)
    numbers = {name: value.clone() for name, value in network.state_dict().items()}
    fold_frozen_norms(network)
    plain = make(kind)
    x = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    torch.testing.assert_close(network(x), plain(x))
    assert all(torch.equal(numbers[name], value) for name, value in network.state_dict().items())
    assert not any(isinstance(part, FoldedNorm) for part in network.modules())


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
def test_networks_of_timm_compute_the_same_folded(name, monkeypatch):
    pytest.importorskip("timm")
    from clipbert_mmf.modules.backbones import timm_features

    options = timm_features.TimmOptions(name)
    folded = timm_features.TimmFeatures(options).eval()
    assert any(isinstance(part, FoldedNorm) for part in folded.modules())
    monkeypatch.setattr(timm_features, "fold_frozen_norms", lambda network: 0)
    plain = timm_features.TimmFeatures(options).eval()
    plain.load_state_dict(folded.state_dict())
    frames = torch.arange(2 * 3 * 64 * 96).remainder(251).to(torch.uint8).view(2, 3, 64, 96)
    with torch.no_grad():
        expected = plain(frames)
        torch.testing.assert_close(
            folded(frames), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
        )
