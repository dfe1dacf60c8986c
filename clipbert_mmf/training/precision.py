"""One key, ``training.precision``, decides the arithmetic of training, evaluation and prediction alike.

Used by the loops of the registered trainer; knows torch only.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import ContextManager

import torch

from clipbert_mmf.settings import read_setting

#: Value of ``training.precision`` -> dtype of autocast; None is plain float32.
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast and gradient scaling for one device.

    Args:
        name: a key of ``PRECISIONS``.
        device: where the model runs.

    Raises:
        ValueError: for an unknown name, or one the device cannot do.
    """

    def __init__(self, name: str, device: torch.device):
        if name not in PRECISIONS:
            raise ValueError(f"training.precision is '{name}'; allowed are {', '.join(PRECISIONS)}")
        if name == "fp16" and device.type != "cuda":
            raise ValueError(
                f"training.precision=fp16 needs a CUDA device, and this run is on '{device.type}'; use bf16 or fp32"
            )
        if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise ValueError("training.precision=bf16 is not supported by this GPU; use fp16 or fp32")
        self.name = name
        self.device_type = device.type
        self.dtype = PRECISIONS[name]

    def autocast(self) -> ContextManager:
        """Return the context in which every forward pass runs."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    def make_scaler(self):
        """Return a gradient scaler, which does nothing except with fp16."""
        enabled = self.name == "fp16"
        if hasattr(torch.amp, "GradScaler"):
            return torch.amp.GradScaler("cuda", enabled=enabled)
        return torch.cuda.amp.GradScaler(enabled=enabled)


def read_precision(training_config) -> str:
    """Return the configured precision; MMF's own switch ``training.fp16`` may not say something else.

    Raises:
        ValueError: if both are given and differ.
    """
    name = read_setting(training_config, "precision") or (
        "fp16" if read_setting(training_config, "fp16") else "fp32"
    )
    if read_setting(training_config, "fp16") and name != "fp16":
        raise ValueError(
            f"training.fp16=true contradicts training.precision={name}; set training.precision=fp16 alone"
        )
    return str(name)
