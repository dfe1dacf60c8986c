"""Memory of this process, as Linux counts it, or of the GPU it uses."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch


def reset_peak(device: str = "cpu") -> None:
    """Set the peak back to what is held now; what the C library keeps for later is given back first."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def read_peak_mib(device: str = "cpu") -> float:
    """Return the most that was held since the last reset."""
    return (
        torch.cuda.max_memory_allocated(device) / 2**20
        if device != "cpu"
        else _read("/proc/self/status", "VmHWM")
    )


def read_resident_mib() -> float:
    """Return what is held now."""
    return _read("/proc/self/status", "VmRSS")


def read_private_mib() -> float:
    """Return what is held now and shared with no other process."""
    return _read("/proc/self/smaps_rollup", "Private_Dirty")


def _read(path: str, name: str) -> float:
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":")) / 1024
