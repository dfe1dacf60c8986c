"""Chooses the device of a model by its name; one that this machine lacks is told before anything is loaded."""

from __future__ import annotations

import torch


def choose_device(device: str | torch.device) -> torch.device:
    """Return a device of this machine.

    Args:
        device: such as ``cpu`` or ``cuda:0``.

    Raises:
        ValueError: if there is no such device here.
    """
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device is '{device}'; expected cpu, cuda, or cuda:0 for the first card") from None
    if chosen.type == "cuda":
        num_cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not num_cards:
            raise ValueError(f"device is '{device}', and PyTorch finds no card here; use cpu")
        if (chosen.index or 0) >= num_cards:
            raise ValueError(f"device is '{device}', and there are {num_cards} cards, numbered from 0")
    elif chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device is '{device}', and PyTorch finds none here; use cpu")
    return chosen
