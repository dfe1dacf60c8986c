"""One pass over a convolution, its sum and its ReLU gives what three give, and the same gradients."""

import sys

import pytest
import torch

from clipbert_mmf.modules.backbones import convolution
from clipbert_mmf.modules.backbones.convolution import convolve

fusing = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")),
    reason="this PyTorch has no oneDNN",
)
#: kernel, stride, channels in, channels out, height and width: weights fewer and more than pixels.
SHAPES = [
    (7, 2, 3, 8, 22, 17),
    (1, 1, 16, 24, 6, 5),
    (1, 2, 16, 24, 7, 6),
    (3, 1, 4, 6, 12, 9),
    (3, 1, 48, 64, 2, 3),
    (3, 2, 48, 64, 4, 3),
    (3, 1, 64, 48, 1, 1),
]


def run(shape, is_fused, precision=torch.float32, with_residual=True, with_bias=True, activate=True):
    """Return the result and the gradients of all inputs."""
    size, stride, channels, outputs, height, width = shape
    torch.manual_seed(0)
    x = torch.randn(5, channels, height, width).to(memory_format=torch.channels_last)
    weight = torch.randn(outputs, channels, size, size) / (channels * size * size) ** 0.5
    weight = weight.to(memory_format=torch.channels_last)
    rows, columns = ((length + 2 * (size // 2) - size) // stride + 1 for length in (height, width))
    residual = (
        torch.randn(5, outputs, rows, columns).to(memory_format=torch.channels_last)
        if with_residual
        else None
    )
    bias = torch.randn(outputs) if with_bias else None
    inputs = [value.requires_grad_() for value in (x, weight, bias, residual) if value is not None]
    with torch.backends.mkldnn.flags(enabled=is_fused):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision != torch.float32):
            y = convolve(x, weight, bias, stride, size // 2, residual, activate)
        gradients = torch.autograd.grad(y.float().square().sum(), inputs)
    return y, gradients, inputs


@fusing
@pytest.mark.parametrize(
    "with_residual, with_bias, activate",
    [
        (True, True, True),
        (False, True, True),
        (False, False, False),
        (True, False, False),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_pass_gives_what_three_give(shape, with_residual, with_bias, activate):
    options = {"with_residual": with_residual, "with_bias": with_bias, "activate": activate}
    y, gradients, inputs = run(shape, True, **options)
    expected, expected_gradients, _ = run(shape, False, **options)
    assert type(y.grad_fn).__name__ == "_FusedConvolutionBackward"
    assert type(expected.grad_fn).__name__ != "_FusedConvolutionBackward"
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    for gradient, other, value in zip(gradients, expected_gradients, inputs, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4)
        assert gradient.is_contiguous(memory_format=torch.channels_last) or value.dim() == 1


@fusing
@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bf16 instructions"
)
@pytest.mark.parametrize("shape", SHAPES)
def test_autocast_computes_in_its_precision(shape):
    y, gradients, inputs = run(shape, True, torch.bfloat16)
    exact, exact_gradients, _ = run(shape, False)
    assert y.dtype == torch.bfloat16 and type(y.grad_fn).__name__ == "_FusedConvolutionBackward"
    torch.testing.assert_close(y.float(), exact, rtol=2e-2, atol=5e-2)
    for gradient, other, value in zip(gradients, exact_gradients, inputs, strict=True):
        assert gradient.dtype == value.dtype
        assert (gradient - other).norm() < 2e-2 * other.norm()


def test_what_cannot_be_fused_is_computed_in_steps():
    torch.manual_seed(0)
    x, weight, residual = (torch.randn(2, 3, 4, 4, dtype=torch.float64) for _ in range(3))
    y = convolve(
        x, weight[:, :, :3, :3].repeat(2, 1, 1, 1)[:3], padding=1, residual=residual[:, :3], activate=True
    )
    assert y.dtype == torch.float64 and y.min() == 0


def test_the_network_works_without_the_file_of_the_fused_path(monkeypatch):
    monkeypatch.setitem(sys.modules, "clipbert_mmf.modules.backbones.fused_convolution", None)
    assert convolution._find_fused() is None
    monkeypatch.setattr(convolution, "_FUSED", None)
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 6, 6, requires_grad=True), torch.randn(4, 3, 3, 3)
    y = convolve(x, weight, padding=1, activate=True)
    assert type(y.grad_fn).__name__ == "ReluBackward0" and y.shape == (2, 4, 6, 6)
