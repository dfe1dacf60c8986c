"""A convolution with bias, sum and ReLU equals PyTorch's own steps, with its gradients."""

import pytest
import torch
import torch.nn.functional as F

from clipbert_mmf.modules.backbones import convolution
from clipbert_mmf.modules.backbones.convolution import convolve


@pytest.fixture(params=["fused", "plain"])
def path(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(convolution, "_FUSED", None)


@pytest.mark.parametrize("stride, activate, adds", [(1, True, True), (2, False, False), (1, True, False)])
def test_it_equals_the_single_steps(path, stride, activate, adds):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 4, 8, 8), torch.randn(6, 4, 3, 3), torch.randn(6)
    residual = torch.randn(2, 6, 8 // stride, 8 // stride) if adds else None
    inputs = [value.requires_grad_() for value in (x, weight, bias, residual) if value is not None]
    expected = F.conv2d(x, weight, bias, stride, 1)
    expected = expected + residual if adds else expected
    expected = F.relu(expected) if activate else expected
    gradients = torch.autograd.grad(expected.square().sum(), inputs)
    found = convolve(x, weight, bias, stride, 1, residual, activate)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(torch.autograd.grad(found.square().sum(), inputs), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
