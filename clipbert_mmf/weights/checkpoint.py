"""Our own checkpoints: everything that fits is used, the rest is reported (a fine-tuning head is new, for example)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


@dataclass
class LoadReport:
    """What became of a file's tensors and a model's.

    Attributes:
        used: names that were loaded.
        missing: names of the model that the file lacks; they keep their random values.
        left_over: names of the file that the model lacks.
        wrong_shape: name -> (in the file, in the model).
    """

    used: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    wrong_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.used)} used"]
        for title, names in (
            ("missing, now random", self.missing),
            ("left over", self.left_over),
            ("wrong shape, now random", [f"{n} {a} for {b}" for n, (a, b) in self.wrong_shape.items()]),
        ):
            shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            lines.append(f"{len(names)} {title}{': ' + shown if names else ''}")
        return "; ".join(lines)


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint of ours, without running any code it may hold.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a PyTorch file of tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"model_config.clipbert.weights.clipbert is '{path}': no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as PyTorch weights: {str(error).splitlines()[0]}") from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict; expected a mapping of names to tensors, or one under 'model'")
    return {name.removeprefix("module.").removeprefix("network."): value for name, value in state.items()}


def load_checkpoint(network: nn.Module, path: str | Path, strict: bool = False) -> LoadReport:
    """Load what fits into the network and log what happened.

    Args:
        network: changed in place.
        path: a checkpoint that MMF saved, or a plain state dict.
        strict: raise where anything is missing, left over or of a wrong shape.
    Raises:
        FileNotFoundError, ValueError: see ``read_checkpoint``; ``ValueError`` too if nothing fits.
    """
    given, own, report = read_checkpoint(path), network.state_dict(), LoadReport()
    for name, value in given.items():
        if name not in own:
            report.left_over.append(name)
        elif own[name].shape != value.shape:
            report.wrong_shape[name] = (tuple(value.shape), tuple(own[name].shape))
        else:
            report.used.append(name)
    report.missing = [name for name in own if name not in given]
    if not report.used or (strict and (report.missing or report.left_over or report.wrong_shape)):
        raise ValueError(f"{path} does not fit the model: {report}")
    network.load_state_dict({name: given[name] for name in report.used}, strict=False)
    logger.info("Weights from %s: %s", path, report)
    return report
