"""Folds frozen batch norms into the convolutions before them, in networks whose code is not ours.

A frozen norm multiplies and adds numbers of its own, two passes over what a convolution wrote; a convolution with
other weights and a bias does the same in its one. A pair is folded if the norm reads what the convolution returned, and
if the network still computes the same for norms with random numbers, so that nothing else reads it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.modules.batch_norm import FrozenBatchNorm

#: Numbers of a frozen norm.
_NUMBERS = ("weight", "bias", "running_mean", "running_var")
_PROBE_PX = 64


class FoldedNorm(FrozenBatchNorm):
    """Stand in place of a frozen norm that its convolution computes: what is left are dropout and activation.

    Args:
        norm: the frozen norm, whose numbers it takes over.
    """

    def __init__(self, norm: Any):
        super().__init__(len(norm.weight), norm.eps)
        for name in _NUMBERS:
            self.register_buffer(name, getattr(norm, name))
        self.drop: nn.Module = getattr(norm, "drop", nn.Identity())
        self.act: nn.Module = getattr(norm, "act", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(F, C, h, w)`` for what the convolution returned, which is normalized."""
        return self.act(self.drop(x))


class FoldedConv2d(nn.Conv2d):
    """Convolve and normalize in one pass.

    Args:
        conv: the convolution, whose parameters it takes over.
        norm: the norm behind it, which is a part of the network and not of this module.
    """

    def __init__(self, conv: nn.Conv2d, norm: FoldedNorm):
        nn.Module.__init__(self)
        self.__dict__.update(conv.__dict__)
        #: Of timm's ``Conv2dSame``: as much padding as makes the output a stride's part of the input.
        self.pads_same = type(conv) is not nn.Conv2d
        self.norm_behind = (norm,)  # in a tuple, so that it is no child

    def forward(self, input: Tensor) -> Tensor:
        """Return ``(F, O, h, w)`` for ``(F, C, H, W)``."""
        scale, bias = self.norm_behind[0].compute_factors()
        if self.bias is not None:
            bias = bias + self.bias * scale
        x = F.pad(input, self._find_padding(input)) if self.pads_same else input
        return F.conv2d(
            x,
            self.weight * scale.view(-1, 1, 1, 1),
            bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )

    def _find_padding(self, input: Tensor) -> list[int]:
        padding: list[int] = []
        for axis in (1, 0):  # columns come first in ``F.pad``
            size, stride = input.shape[2 + axis], self.stride[axis]
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            lacking = max((-(-size // stride) - 1) * stride + reach - size, 0)
            padding += [lacking // 2, lacking - lacking // 2]
        return padding


def fold_frozen_norms(network: nn.Module) -> int:
    """Fold what can be folded; return the number of norms.

    Names and numbers of the network stay as they are.

    Args:
        network: with timm's frozen norms; takes ``(F, 3, H, W)`` float and returns a list of grids.
    """
    norms = [part for part in network.modules() if _is_frozen_norm(part)]
    if not norms or any(value.is_meta for value in [*network.parameters(), *network.buffers()]):
        return 0
    pixels = torch.rand(1, 3, _PROBE_PX, _PROBE_PX, generator=torch.Generator().manual_seed(0))
    with _random_numbers(norms, network):
        try:
            pairs, expected = _find_pairs(network, pixels)
        except (RuntimeError, ValueError, AssertionError):  # of a network that reads no frame of that size
            return 0
        swapped: dict[nn.Module, nn.Module] = {
            part: replacement
            for conv, norm in pairs
            for folded in [FoldedNorm(norm)]
            for part, replacement in ((conv, FoldedConv2d(conv, folded)), (norm, folded))
        }
        _swap(network, swapped)
        found = network(pixels)
        if all(
            torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))
            for a, b in zip(found, expected, strict=True)
        ):
            return len(pairs)
        _swap(network, {replacement: part for part, replacement in swapped.items()})
    return 0


def _is_frozen_norm(part: nn.Module) -> bool:
    # timm has a class of its own, torchvision another.
    return type(part).__name__.startswith("FrozenBatchNorm")


def _find_pairs(network: nn.Module, pixels: Tensor) -> tuple[list[tuple[nn.Conv2d, nn.Module]], list[Tensor]]:
    """Return convolutions with the norms that read them, and the grids of ``pixels``."""
    written: list[tuple[Tensor, nn.Conv2d]] = []
    pairs: list[tuple[nn.Conv2d, nn.Module]] = []
    calls: dict[nn.Module, int] = {}

    def note_output(conv: Any, _: Any, output: Tensor) -> None:
        calls[conv] = calls.get(conv, 0) + 1
        written.append((output, conv))

    def note_input(norm: nn.Module, arguments: tuple[Any, ...]) -> None:
        calls[norm] = calls.get(norm, 0) + 1
        pairs.extend((conv, norm) for output, conv in written if output is arguments[0])

    hooks = [
        part.register_forward_hook(note_output)
        if isinstance(part, nn.Conv2d)
        else part.register_forward_pre_hook(note_input)
        for part in network.modules()
        if type(part) is nn.Conv2d or type(part).__name__ == "Conv2dSame" or _is_frozen_norm(part)
    ]
    try:
        grids = [grid.clone() for grid in network(pixels)]
    finally:
        for hook in hooks:
            hook.remove()
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1], grids


@contextmanager
def _random_numbers(norms: list[Any], network: nn.Module) -> Generator[None, None, None]:
    """Give norms random numbers for a while, in evaluation and without gradients."""
    kept = {(norm, name): getattr(norm, name).clone() for norm in norms for name in _NUMBERS}
    generator = torch.Generator().manual_seed(1)
    training = {part: part.training for part in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            for norm, name in kept:
                value = getattr(norm, name)
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            yield
    finally:
        with torch.no_grad():
            for (norm, name), value in kept.items():
                getattr(norm, name).copy_(value)
        for part in network.modules():
            part.training = training.get(part, True)


def _swap(network: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    for part in [*network.modules()]:
        for name, child in part.named_children():
            if child in replacements:
                setattr(part, name, replacements[child])
