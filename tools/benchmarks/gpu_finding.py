"""What a part of the GPU measurements is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.amp.grad_scaler import GradScaler

from benchmarks.memory import read_peak_mib, reset_peak
from benchmarks.networks import Pair, load_settings
from benchmarks.table import measure_seconds
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.models.network import ClipBertNetwork

#: Part of a card's name -> dense TFLOP/s of its datasheet by precision; the first that is part of a name counts.
DATASHEETS: dict[str, dict[str, float]] = {
    "H200": {"bf16": 989, "fp16": 989, "tf32": 494, "fp32": 67},
    "H100 PCIe": {"bf16": 756, "fp16": 756, "tf32": 378, "fp32": 51},
    "H100": {"bf16": 989, "fp16": 989, "tf32": 494, "fp32": 67},
    "A100": {"bf16": 312, "fp16": 312, "tf32": 156, "fp32": 19.5},
    "L40S": {"bf16": 362, "fp16": 362, "tf32": 183, "fp32": 91.6},
    "L4": {"bf16": 121, "fp16": 121, "tf32": 60, "fp32": 30.3},
    "V100": {"fp16": 125, "fp32": 15.7},
}
#: Name -> (dtype of autocast, whether products of fp32 may be rounded to TF32).
PRECISIONS: dict[str, tuple[torch.dtype | None, bool]] = {
    "bf16": (torch.bfloat16, False),
    "fp16": (torch.float16, False),
    "tf32": (None, True),
    "fp32": (None, False),
}


@dataclass(frozen=True)
class Finding:
    """The result of one part.

    Attributes:
        headline: the one figure that the short table shows.
        columns: head of the table.
        rows: its cells.
        facts: further numbers by name.
        pictures: files beside the result.
    """

    headline: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: Sequence[str] = ()


@dataclass
class Bench:
    """The device, the network and the batches that the parts share.

    Attributes:
        device: cpu or cuda.
        quick: small sizes, to see that it runs.
        stem: path of the result without its ending; pictures lie beside it.
        work: folder for files that are made on the way.
        peaks: measured TFLOP/s of a matrix product by precision.
    """

    device: str
    quick: bool
    stem: Path
    work: Path
    peaks: dict[str, float] = field(default_factory=dict)

    @property
    def has_card(self) -> bool:
        """Tell whether a card is measured."""
        return self.device != "cpu"

    @property
    def size(self) -> int:
        """Edge of a frame in pixels."""
        return 64 if self.quick else 448

    @property
    def precisions(self) -> list[str]:
        """The precisions that the device has; fp16 and TF32 are a card's."""
        return list(PRECISIONS) if self.has_card else ["bf16", "fp32"]

    @cached_property
    def pair(self) -> Pair:
        """Our network with random weights, and the plain build with the same."""
        return Pair(self.quick, self.device)

    @property
    def network(self) -> ClipBertNetwork:
        """Our network."""
        return self.pair.ours

    def make_network(self, **changes: Any) -> ClipBertNetwork:
        """Return another network with random weights, with other settings."""
        torch.manual_seed(0)
        return build_network(parse_model_config({**load_settings(self.quick), **changes})).to(self.device)

    def find_share(self, flops: float, seconds: float, precision: str) -> tuple[str, str]:
        """Return the share of the measured peak and of the datasheet's, as texts."""
        measured = self.peaks.get(precision)
        name = torch.cuda.get_device_name() if self.has_card else ""
        sheet = next((values for part, values in DATASHEETS.items() if part in name), {}).get(precision)
        rate = flops / seconds / 1e12
        return tuple(f"{rate / peak:.2f}" if peak else "-" for peak in (measured, sheet))  # type: ignore[return-value]


class Arithmetic:
    """Computes in one of ``PRECISIONS``; a context."""

    def __init__(self, precision: str, device: str) -> None:
        self.dtype, self.allows_tf32 = PRECISIONS[precision]
        self.autocast = torch.autocast(
            device.partition(":")[0], dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None
        )

    def __enter__(self) -> None:
        self.before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.allows_tf32
        self.autocast.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.autocast.__exit__(*error)
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = self.before


def make_training_step(
    network: ClipBertNetwork, batch: Sequence[torch.Tensor], precision: str, device: str
) -> Callable[[], None]:
    """Return one update: forward, backward, scaling with fp16, clipping, fused AdamW."""
    from clipbert_mmf.training.sharding import clip_gradients

    network.train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)
    scaler = GradScaler(device.partition(":")[0], enabled=precision == "fp16")
    targets = torch.arange(batch[1].shape[0] * batch[1].shape[1], device=device) % 2

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with Arithmetic(precision, device):
            scores = network(*batch)["scores"]
            loss = F.cross_entropy(scores.float(), targets)
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        clip_gradients(network, 5.0)
        scaler.step(optimizer)
        scaler.update()

    return step


def time_call(bench: Bench, call: Callable[[], Any], rounds: int = 3) -> tuple[float, float]:
    """Return the seconds of a call, the median over rounds after a warm-up, and the MiB that it adds at its peak."""
    for _ in range(1 if bench.quick else 2):
        call()
    reset_peak(bench.device)
    before = torch.cuda.memory_allocated() / 2**20 if bench.has_card else read_peak_mib()
    once = measure_seconds(call)
    repeats = 1 if bench.quick else max(1, min(20, round(0.3 / max(once, 1e-6))))

    def repeat() -> None:
        for _ in range(repeats):
            call()

    seconds = sorted(measure_seconds(repeat) / repeats for _ in range(1 if bench.quick else rounds))
    return seconds[len(seconds) // 2], read_peak_mib(bench.device) - before
