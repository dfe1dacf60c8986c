"""Gives training, evaluation and prediction the same arithmetic, by one key: ``training.precision``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.options import PrecisionName

#: Value of ``training.precision`` -> dtype of autocast; None is plain float32.
PRECISIONS: dict[PrecisionName, torch.dtype | None] = {
    "fp32": None,
    "tf32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Precision:
    """Makes the autocast context and the gradient scaler for one device.

    On a CUDA device it also decides for the process whether fp32 may be rounded to TF32, which has 10 bits behind the
    point: PyTorch does so in convolutions unless told otherwise, and not in matrix products.

    Args:
        name: precision of the run.
        device: where the model runs.

    Raises:
        ConfigurationError: for a precision that the device cannot do.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        if name in ("fp16", "tf32") and device.type != "cuda":
            raise ConfigurationError(
                f"training.precision={name} needs a CUDA device, and this run is on '{device.type}'; use bf16 "
                f"or fp32"
            )
        if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ConfigurationError("training.precision=bf16 is not supported by this GPU; use fp16 or fp32")
        if device.type == "cuda" and PRECISIONS[name] is None:
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        self.name = name
        self.device_type = device.type
        self.dtype = PRECISIONS[name]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which every forward pass runs."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    def make_scaler(self) -> Any:
        """Return a gradient scaler, which does nothing except with fp16."""
        enabled = self.name == "fp16"
        amp: Any = torch.amp
        if hasattr(amp, "GradScaler"):
            return amp.GradScaler("cuda", enabled=enabled)
        legacy: Any = torch.cuda.amp  # PyTorch before 2.3
        return legacy.GradScaler(enabled=enabled)
