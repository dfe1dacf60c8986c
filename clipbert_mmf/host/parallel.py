"""One process or several: the device of this process, the wrapped model, and sums and lists over all processes.

Uses ``torch.distributed`` itself; MMF's helpers take a machine without NCCL for a single process.
"""

from __future__ import annotations

import atexit
import logging
from contextlib import nullcontext
from typing import Any, ContextManager

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

logger = logging.getLogger(__name__)


def get_world_size() -> int:
    """Number of processes of this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def get_rank() -> int:
    """Number of this process, 0 being the one that writes."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def synchronize() -> None:
    """Wait for all processes."""
    if get_world_size() > 1:
        dist.barrier()


def finish_together() -> None:
    """Let no process leave while another still listens to it; torch's connections are closed when python ends.

    Only for a run that went well: after a failure, waiting for others would keep the job from ending.
    """
    if get_world_size() > 1:
        dist.barrier()
        atexit.unregister(_disconnect)
        atexit.register(_disconnect)


def _disconnect() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def pick_device(local_rank: int, wanted: str = "cuda") -> torch.device:
    """Return the device of a process and make it torch's current one.

    Args:
        local_rank: number of the process on this machine.
        wanted: ``cpu`` keeps a machine's GPUs out of it.
    """
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", max(0, local_rank) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def wrap_model(model: nn.Module, find_unused_parameters: bool = False) -> nn.Module:
    """Wrap a model so that its gradients are averaged over all processes; alone, return it as it is.

    Without ``device_ids`` torch neither scatters nor copies the batch, which is where it belongs already.
    """
    if get_world_size() == 1:
        return model
    has_running_statistics = any(
        isinstance(module, _BatchNorm) and module.track_running_stats for module in model.modules()
    )
    return DistributedDataParallel(
        model, find_unused_parameters=find_unused_parameters, broadcast_buffers=has_running_statistics,
        gradient_as_bucket_view=True,
    )


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the model itself."""
    return model.module if isinstance(model, (DistributedDataParallel, nn.DataParallel)) else model


def gradient_sync(model: nn.Module, last: bool) -> ContextManager:
    """Sum gradients over processes only after the last batch of an update."""
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def sum_over_processes(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Return the sum of every value; all processes must have the same keys."""
    if get_world_size() == 1 or not values:
        return dict(values)
    keys = sorted(values)
    totals = torch.tensor([values[key] for key in keys], dtype=torch.float64, device=device)
    dist.all_reduce(totals)
    return dict(zip(keys, totals.tolist()))


def gather_everywhere(value: Any) -> list[Any]:
    """Return every process's value, in the order of ranks, on every process. Tensors must be on the CPU."""
    if get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_first(value: Any) -> Any:
    """Return rank 0's value on every process."""
    if get_world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]
