"""Runs one process or several: picks the device, wraps the model, and sums and gathers over all processes.

Uses ``torch.distributed`` itself; MMF's helpers take a machine without NCCL for a single process.
``sharding`` splits weights and optimizer state over processes.
"""

from __future__ import annotations

import gc
import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]  # all kinds derive from it
from torch.nn.parallel import DistributedDataParallel

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.options import ParallelOptions, ReductionName

logger = logging.getLogger(__name__)

#: Value of ``training.gradient_reduction`` -> arithmetic in which gradients are summed over processes; None
#: is theirs.
REDUCTIONS: dict[ReductionName, torch.dtype | None] = {
    "fp32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_DEFAULTS = ParallelOptions()
#: Torch gives its collectives no complete types.
_collectives: Any = dist


def get_world_size() -> int:
    """Return the number of processes of this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def get_rank() -> int:
    """Return the number of this process; rank 0 writes."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def synchronize() -> None:
    """Wait for all processes."""
    if get_world_size() > 1:
        _collectives.barrier()


def shut_down_process_group() -> None:
    """Wait for all processes, then end torch's threads while python still runs.

    No process may leave while another still listens to it. A gloo thread that lets go of a tensor while the
    interpreter is being taken down aborts the process. The threads end with the last reference to their
    group, so nothing may hold a wrapped model when this is called. Only for a run that went well: after a
    failure, waiting for others would keep the job from ending.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    synchronize()
    gc.collect()  # wrapper and reducer refer to each other
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


def check_batch_size(batch_size: int, update_frequency: int) -> None:
    """Refuse a global batch that this number of processes cannot share evenly.

    Raises:
        ConfigurationError: says which numbers would do, and which settings keep the items of an update.
    """
    processes = get_world_size()
    if batch_size % processes == 0:
        return
    divisors = [number for number in range(1, batch_size + 1) if batch_size % number == 0]
    per_update = batch_size * update_frequency
    same = [number for number in range(processes, per_update + 1, processes) if per_update % number == 0]
    advice = ""
    if same:
        advice = f", or training.batch_size={same[0]} training.update_frequency={per_update // same[0]}"
    raise ConfigurationError(
        f"training.batch_size={batch_size} is what all processes read together, and {processes} processes "
        f"cannot share "
        f"it evenly. For the same {per_update} items per update: {', '.join(map(str, divisors))} "
        f"processes{advice}"
    )


def has_running_statistics(model: nn.Module) -> bool:
    """Return whether a model has buffers that training changes, differently on each process."""
    return any(isinstance(module, _BatchNorm) and module.track_running_stats for module in model.modules())


def wrap_model(model: nn.Module, options: ParallelOptions = _DEFAULTS) -> nn.Module:
    """Wrap a model so that its gradients are averaged over all processes.

    Alone, or sharded, return it as it is.

    Without ``device_ids`` torch neither scatters nor copies the batch, which is where it belongs already.
    """
    if get_world_size() == 1 or options.sharding == "full":
        return model
    wrapped: Any = DistributedDataParallel(
        model,
        find_unused_parameters=options.find_unused_parameters,
        static_graph=options.static_graph,
        broadcast_buffers=has_running_statistics(model),
        gradient_as_bucket_view=True,
    )
    if REDUCTIONS[options.gradient_reduction] is not None:
        _check_reduction(model, options.gradient_reduction)
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

        wrapped.register_comm_hook(
            None, getattr(default_hooks, f"{options.gradient_reduction}_compress_hook")
        )
    return wrapped


def _check_reduction(model: nn.Module, reduction: ReductionName) -> None:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        _collectives.all_reduce(torch.zeros(1, dtype=REDUCTIONS[reduction], device=device))
    except RuntimeError as error:
        raise ConfigurationError(
            f"training.gradient_reduction={reduction} is nothing that {dist.get_backend()} of PyTorch "
            f"{torch.__version__} "
            f"can add up ({str(error).splitlines()[0]}); use fp32 or another half precision"
        ) from error


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the model itself."""
    is_wrapped = isinstance(model, (DistributedDataParallel, nn.DataParallel))
    return cast(nn.Module, model.module) if is_wrapped else model


def gradient_sync(model: nn.Module, last: bool, first_update: bool = False) -> AbstractContextManager[Any]:
    """Sum gradients over processes only after the last batch of an update.

    Args:
        model: as ``wrap_model`` returned it.
        last: whether the batch is the last of its update.
        first_update: whether the update is the first of this process. A static graph is recorded in the very
            first backward pass, which therefore has to sum; averaging a part of the gradients twice changes
            nothing.
    """
    if hasattr(model, "set_requires_gradient_sync"):  # fully sharded
        cast(Any, model).set_requires_gradient_sync(last)
        return nullcontext()
    if last or not isinstance(model, DistributedDataParallel) or (first_update and model.static_graph):
        return nullcontext()
    return model.no_sync()


def check_every_parameter_took_part(model: nn.Module, options: ParallelOptions) -> None:
    """Refuse, after the first gradients, a model with parameters that DDP would wait for in vain.

    Raises:
        RuntimeError: with their names.
    """
    if (
        not isinstance(model, DistributedDataParallel)
        or options.find_unused_parameters
        or options.static_graph
    ):
        return
    names = [
        name
        for name, value in unwrap_model(model).named_parameters()
        if value.requires_grad and value.grad is None
    ]
    if names:
        raise RuntimeError(
            f"{len(names)} trained parameters had no part in the loss ({', '.join(names[:5])}): set "
            "training.find_unused_parameters=true (with training.static_graph=true if they are the same in "
            "every "
            "update, which is faster), or freeze them"
        )


def sum_over_processes(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Return the sum of every value; all processes must have the same keys."""
    if get_world_size() == 1 or not values:
        return dict(values)
    keys = sorted(values)
    totals = torch.tensor([values[key] for key in keys], dtype=torch.float64, device=device)
    _collectives.all_reduce(totals)
    sums: list[float] = cast(Any, totals).tolist()
    return dict(zip(keys, sums, strict=True))


def max_over_processes(value: int, device: torch.device) -> int:
    """Return the largest value of all processes."""
    if get_world_size() == 1:
        return value
    largest = torch.tensor([value], dtype=torch.int64, device=device)
    _collectives.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def gather_everywhere(value: Any) -> list[Any]:
    """Return every process's value, in the order of ranks, on every process. Tensors must be on the CPU."""
    if get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * get_world_size()
    _collectives.all_gather_object(values, value)
    return values


def broadcast_from_rank_0(value: Any) -> Any:
    """Return rank 0's value on every process."""
    if get_world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]
