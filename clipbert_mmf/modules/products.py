"""Multiplies matrices on a CPU with the faster of two libraries.

PyTorch sends full-precision products on a CPU to MKL, which leaves part of some processors unused: on an AMD
EPYC with wide vectors oneDNN, which PyTorch carries too, is twice as fast. Which one is faster is measured once
on each machine and kept in a file, so that every run of a machine rounds alike. In inference oneDNN also applies
GELU while a result is in a register.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Environment variable that names the library and leaves out the measurement: ``mkl`` or ``onednn``.
LIBRARY = "CLIPBERT_MMF_PRODUCTS"
#: oneDNN is used where it is faster by this factor: less is not worth other roundings.
_LEAST_GAIN = 1.03
#: Products with fewer multiplications are as fast in either, or faster without a detour through Python.
_SMALLEST = 2**20
#: A half-precision weight is converted for one fused call; with fewer rows that costs more than fusing saves.
_FEWEST_HALF_ROWS = 1024
#: Rows, columns and inner length of the products that are measured, the transformer's.
_MEASURED_ROWS, _MEASURED_WIDTH = 256, 768
_ROUNDS = 15


@dataclass(frozen=True)
class Choice:
    """Which products of 32-bit numbers oneDNN computes.

    Attributes:
        forward: inputs with weights.
        input_gradient: gradients with weights.
        weight_gradient: gradients with inputs.
        gelu: inputs with weights, GELU in the same pass.
    """

    forward: bool
    input_gradient: bool
    weight_gradient: bool
    gelu: bool


MKL, ONEDNN = Choice(False, False, False, False), Choice(True, True, True, True)
_LIBRARIES = {"mkl": MKL, "onednn": ONEDNN}
_chosen: Choice | None = None


class Linear(nn.Linear):
    """Compute what ``nn.Linear`` computes, with the faster library; its parameters are the same.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        bias: whether a bias is added.
        gelu: whether the output passes GELU (erf).
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, gelu: bool = False):
        super().__init__(in_features, out_features, bias)
        self.gelu = gelu

    def forward(self, input: Tensor) -> Tensor:
        """Return ``(..., out)`` for ``(..., in)``."""
        if not _can_choose(input, self.weight, len(self.weight)):
            return self._compute_plainly(input)
        learns = torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad)
        dtype = find_product_dtype(input)
        if dtype != torch.float32 or self.weight.dtype != torch.float32:
            fuses = self.gelu and not learns and _has_half_products(input, dtype)
            return self._fuse_half(input) if fuses else self._compute_plainly(input)
        choice = choose_library()
        if self.gelu and not learns and choice.gelu:
            return _multiply_fused(input, self.weight, self.bias, gelu=True)
        if not (choice.forward or (learns and choice != MKL)):
            return self._compute_plainly(input)
        product = (
            _Product.apply(input, self.weight, self.bias)
            if learns
            else _multiply_fused(input, self.weight, self.bias)
        )
        return F.gelu(product) if self.gelu else product

    def _compute_plainly(self, x: Tensor) -> Tensor:
        product = super().forward(x)
        return F.gelu(product) if self.gelu else product

    def _fuse_half(self, x: Tensor) -> Tensor:
        x, weight = x.to(torch.bfloat16), self.weight.to(torch.bfloat16)
        bias = None if self.bias is None else self.bias.to(torch.bfloat16)
        return _multiply_fused(x, weight, bias, gelu=True)

    def extra_repr(self) -> str:
        """Return the sizes, and whether GELU follows."""
        return super().extra_repr() + (", gelu=True" if self.gelu else "")


def multiply_rows(rows: Tensor, weight: Tensor) -> Tensor:
    """Return ``rows @ weight``: the gradient ``(M, in)`` of a layer's inputs.

    Args:
        rows: gradient of its outputs, ``(M, out)``.
        weight: ``(out, in)``.
    """
    if _can_choose_gradient(rows, weight) and choose_library().input_gradient:
        return _multiply_fused(rows, weight.t())
    return rows @ weight


def multiply_columns(gradient: Tensor, rows: Tensor) -> Tensor:
    """Return ``gradient.t() @ rows``: the gradient ``(out, in)`` of a layer's weights.

    Args:
        gradient: of its outputs, ``(M, out)``.
        rows: its inputs, ``(M, in)``.
    """
    if _can_choose_gradient(gradient, rows) and choose_library().weight_gradient:
        return _multiply_fused(gradient.t(), rows.t())
    return gradient.t() @ rows


def choose_library() -> Choice:
    """Return which products oneDNN computes.

    The environment variable ``CLIPBERT_MMF_PRODUCTS`` decides, else what was measured on this machine.

    Raises:
        ValueError: if the variable names no library.
    """
    global _chosen
    if _chosen is None:
        named = os.environ.get(LIBRARY)
        if named is not None and named not in _LIBRARIES:
            raise ValueError(
                f"{LIBRARY} is '{named}'; allowed are {', '.join(_LIBRARIES)}, or unset it to measure"
            )
        _chosen = _LIBRARIES[named] if named else _read_choice() or _measure_and_keep()
    return _chosen


@contextmanager
def use_choice(choice: Choice) -> Iterator[None]:
    """Compute with a given choice of libraries inside a ``with`` block."""
    global _chosen
    before, _chosen = _chosen, choice
    try:
        yield
    finally:
        _chosen = before


def measure_choice() -> Choice:
    """Return where oneDNN is faster on this machine, by the time of the thread that waits for the result."""
    length, width = _MEASURED_ROWS, _MEASURED_WIDTH
    rows, gradient, weight = torch.randn(length, width), torch.randn(length, width), torch.randn(width, width)
    bias = torch.randn(width)
    contests: list[tuple[Callable[[], Tensor], Callable[[], Tensor]]] = [
        (lambda: F.linear(rows, weight, bias), lambda: _multiply_fused(rows, weight, bias)),
        (lambda: gradient @ weight, lambda: _multiply_fused(gradient, weight.t())),
        (lambda: gradient.t() @ rows, lambda: _multiply_fused(gradient.t(), rows.t())),
        (
            lambda: F.gelu(F.linear(rows, weight, bias)),
            lambda: _multiply_fused(rows, weight, bias, gelu=True),
        ),
    ]
    with torch.no_grad():
        return Choice(*(_time_gain(one, other) > _LEAST_GAIN for one, other in contests))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        if choose_library().forward:
            return _multiply_fused(x, weight, bias)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # torch types it with *args
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        flat = gradient.flatten(0, -2)
        return (
            multiply_rows(flat, weight).view_as(x) if needs_x else None,
            multiply_columns(flat, x.flatten(0, -2)) if needs_weight else None,
            flat.sum(0) if needs_bias else None,
        )


def _multiply_fused(x: Tensor, weight: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
    activation = ("gelu", [], "none") if gelu else ("none", [], "")
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, *activation)


def _can_choose(x: Tensor, other: Tensor, outputs: int) -> bool:
    """Tell whether oneDNN can compute a product, and it is worth it.

    ``torch.backends.mkldnn.flags(enabled=False)`` turns it off, as it does PyTorch's own use of oneDNN.
    """
    return (
        # First: an exported graph would keep what it asks about sizes.
        computes_on_cpu(x, other)
        and x.numel() * outputs >= _SMALLEST
        and torch._C._get_mkldnn_enabled()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def computes_on_cpu(x: Tensor, other: Tensor) -> bool:
    """Tell whether a product is computed now and here: on a CPU, of plain tensors, in no graph that is made."""
    return (
        x.device.type == "cpu"
        # Subclasses (sharded, fake) and graphs that are being compiled have ways of their own.
        and type(x) in (Tensor, nn.Parameter)
        and type(other) in (Tensor, nn.Parameter)
        and not torch._C._get_tracing_state()
        and not torch.compiler.is_compiling()
    )


def _can_choose_gradient(first: Tensor, second: Tensor) -> bool:
    # A gradient of a gradient needs operators that have one.
    return (
        first.dtype == second.dtype == torch.float32
        and not torch.is_grad_enabled()
        and find_product_dtype(first) == torch.float32
        and _can_choose(first, second, second.shape[1])
    )


def find_product_dtype(x: Tensor) -> torch.dtype:
    """Return the type in which a product of ``x`` is computed on a CPU: autocast's, or its own."""
    if not hasattr(torch, "get_autocast_dtype"):  # PyTorch before 2.4
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else x.dtype
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def _has_half_products(x: Tensor, dtype: torch.dtype) -> bool:
    return (
        dtype == torch.bfloat16
        and x.numel() // x.shape[-1] >= _FEWEST_HALF_ROWS
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _time_gain(one: Callable[[], Tensor], other: Callable[[], Tensor]) -> float:
    """Return by which factor the second call is faster than the first: the best of each, called in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for call, own in zip((one, other), times, strict=True):
            start = time.thread_time()
            call()
            own.append(time.thread_time() - start)
    return min(times[0]) / min(times[1])


def _measure_and_keep() -> Choice:
    choice = measure_choice()
    # Processes that start together measure together: all take what the first of them kept, and round alike.
    first = _read_choice()
    if first is not None:
        return first
    place = _find_place()
    known = _read_all(place)
    known[_describe_machine()] = asdict(choice)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.{os.getpid()}.part")
        part.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        part.replace(place)
    except OSError:
        pass  # A home that cannot be written to: the next process measures again.
    return choice


def _read_choice() -> Choice | None:
    """Return what was measured before on this machine; None where nothing was, or nothing readable."""
    found = _read_all(_find_place()).get(_describe_machine())
    names = {field.name for field in fields(Choice)}
    if not isinstance(found, dict) or set(found) != names:
        return None
    return Choice(**{name: bool(found[name]) for name in names})


def _read_all(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _find_place() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "clipbert_mmf" / "products.json"


def _describe_machine() -> str:
    """Return what the measurement depends on: processor, version of PyTorch, number of threads."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "cpu family", "model\t", "stepping")
    first = dict.fromkeys(" ".join(line.split()) for line in lines if line.startswith(wanted))
    return "; ".join([*first, processor, f"torch {torch.__version__}", f"{torch.get_num_threads()} threads"])
