"""Splits over processes what data parallelism holds in each.

Optimizer state, or that and weights and gradients.

PyTorch does the work: ``ZeroRedundancyOptimizer`` (ZeRO stage 1) and FSDP2's ``fully_shard`` (stage 3). A
checkpoint is always whole, as one process would have saved it, so a run can go on with another sharding or
number of processes. ``torch.distributed.checkpoint.state_dict`` is not used: it names an optimizer's state by
parameter, while MMF's trainers (and so checkpoints of both) number it, and it does not know
``ZeroRedundancyOptimizer``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.optim import Optimizer

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.distributed import (
    REDUCTIONS,
    get_rank,
    get_world_size,
    has_running_statistics,
    unwrap_model,
)
from clipbert_mmf.training.options import ClipNormMode, ParallelOptions


def shard(
    model: nn.Module,
    optimizer: Optimizer,
    options: ParallelOptions,
    settings: Mapping[str, Any],
    device: torch.device,
) -> Optimizer:
    """Shard as the options say and return the optimizer for it; the model is changed in place.

    Args:
        model: not wrapped, on its device, the same on all processes.
        optimizer: the model's, without state.
        options: ``sharding`` decides.
        settings: arguments that the optimizer was built with.
        device: this process's.

    Raises:
        ConfigurationError: if this torch has no ``fully_shard``.
    """
    if get_world_size() == 1 or options.sharding == "none":
        return optimizer
    groups = [dict(group) for group in optimizer.param_groups]
    if options.sharding == "optimizer":
        from torch.distributed.optim import ZeroRedundancyOptimizer

        return ZeroRedundancyOptimizer(groups, optimizer_class=type(optimizer), **settings)
    names = {parameter: name for name, parameter in model.named_parameters()}
    _shard_weights(model, options, device)
    parameters = dict(model.named_parameters())
    for group in groups:
        group["params"] = [parameters[names[parameter]] for parameter in group["params"]]
    return type(optimizer)(groups, **settings)


def _shard_weights(model: nn.Module, options: ParallelOptions, device: torch.device) -> None:
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    except ImportError:
        raise ConfigurationError(
            f"training.sharding=full needs PyTorch 2.6 or newer, and this is {torch.__version__}; use "
            f"'optimizer'"
        ) from None
    arguments: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (get_world_size(),)),
        "mp_policy": MixedPrecisionPolicy(reduce_dtype=REDUCTIONS[options.gradient_reduction]),
    }
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP2 knows no other layout, such as channels_last
    for part in find_repeated_blocks(model):
        fully_shard(part, **arguments)
    fully_shard(model, **arguments)
    cast(Any, model).register_load_state_dict_pre_hook(_take_own_part)
    if has_running_statistics(model):
        model.register_forward_pre_hook(
            lambda module, inputs: _share_buffers(module) if module.training else None
        )


def find_repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the members of every outermost ``ModuleList`` and ``Sequential`` that have weights.

    Layers and stages.

    Each is brought together when it runs and let go afterwards, so that the whole model never lies in memory
    at once.
    """
    found: list[nn.Module] = []
    for child in model.children():
        if isinstance(child, (nn.ModuleList, nn.Sequential)):
            found += [
                part for part in child if next(part.parameters(), None) is not None and _is_called(part)
            ]
        else:
            found += find_repeated_blocks(child)
    return found


def _is_called(part: nn.Module) -> bool:
    # A list within a list has no forward of its own.
    return not isinstance(part, (nn.ModuleList, nn.ModuleDict))


def _take_own_part(model: nn.Module, state: dict[str, Any], prefix: str, *_) -> None:
    """Turn the whole tensors of a state about to be loaded into this process's parts."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        value = state.get(prefix + name)
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            state[prefix + name] = _part_like(value, parameter)


def _part_like(value: Tensor, parameter: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(value, DTensor) or not isinstance(parameter, DTensor):
        return value
    # Every process has read the same file: nothing needs to be sent.
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )


def _share_buffers(model: nn.Module) -> None:
    for buffer in model.buffers():
        dist.broadcast(buffer, 0)


def is_fully_sharded(model: nn.Module) -> bool:
    """Return whether ``shard`` split the weights."""
    return hasattr(unwrap_model(model), "set_requires_gradient_sync")


@contextmanager
def unshard_parameters(model: nn.Module) -> Generator[None]:
    """Hold all weights on all processes, so that each may run the model as often as it has batches to evaluate.

    Every process must enter it. Does nothing unless weights are sharded.
    """
    if not is_fully_sharded(model):
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    if has_running_statistics(model):
        _share_buffers(model)
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            # The outermost is needed again at once by the backward pass.
            part.set_reshard_after_forward(part is not model, recurse=False)
            part.reshard()


# ---- state of checkpoints


def gather_model_state(model: nn.Module) -> dict[str, Any]:
    """Return the state of the model as one process would have it; on rank 0 only where that needs the others.

    Every process must call it.
    """
    bare = unwrap_model(model)
    if not is_fully_sharded(bare):
        return bare.state_dict()
    state = bare.state_dict()
    whole = OrderedDict(_collect(state))
    cast(Any, whole)._metadata = getattr(state, "_metadata", {})  # what modules say about their state
    return whole


def gather_optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state of the optimizer as one process would have it.

    On rank 0 only where that needs the others.

    Every process must call it.
    """
    if hasattr(optimizer, "consolidate_state_dict"):
        cast(Any, optimizer).consolidate_state_dict(to=0)
        return optimizer.state_dict() if get_rank() == 0 else {}
    return _collect(optimizer.state_dict())


def _collect(value: Any) -> Any:
    """Bring the parts of tensors together, in the order in which they are met, and keep them on rank 0."""
    if isinstance(value, Mapping):
        return {key: _collect(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if hasattr(value, "full_tensor"):
        whole = value.detach().full_tensor()
        return whole.cpu() if get_rank() == 0 else None
    return value


def shard_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a whole state that this process's optimizer loads.

    The inverse of ``gather_optimizer_state``.

    How a step is computed, and in which layout, is this process's business: a checkpoint may be of another
    machine.
    """
    groups = [
        {**stored, **{key: own[key] for key in ("fused", "foreach") if key in own}}
        for stored, own in zip(state["param_groups"], optimizer.param_groups, strict=False)
    ]
    # Groups that do not match are for the optimizer to refuse.
    groups += state["param_groups"][len(groups) :]
    state = {
        **state,
        "param_groups": groups,
        "state": {key: dict(value) for key, value in state["state"].items()},
    }
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, values in state["state"].items():
        for name, value in values.items():
            if not isinstance(value, Tensor) or int(index) >= len(parameters):
                continue
            parameter = parameters[index]
            if value.shape == parameter.shape and hasattr(parameter, "device_mesh"):
                values[name] = _part_like(value, parameter)
            elif value.shape == parameter.shape and value.stride() != parameter.stride():
                # A fused step reads memory in order: what belongs to a weight must lie as the weight does.
                values[name] = torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(
                    value
                )
    return state


def count_state_bytes(optimizer: Optimizer) -> int:
    """Return the number of bytes of the optimizer's state that lie in this process."""
    inner: Optimizer = getattr(optimizer, "optim", optimizer)  # of a ZeroRedundancyOptimizer
    values: list[Any] = [value for state in inner.state.values() for value in state.values()]
    tensors = [value for value in values if isinstance(value, Tensor)]
    return sum(value.numel() * value.element_size() for value in map(_to_local, tensors))


def _to_local(value: Any) -> Tensor:
    return value.to_local() if hasattr(value, "to_local") else value


def find_clipped(model: nn.Module, mode: ClipNormMode) -> nn.Module:
    """Return the part of a model whose gradients are clipped, by ``training.clip_norm_mode``.

    Raises:
        ConfigurationError: if the model has no such part.
    """
    if mode == "all":
        return model
    found = getattr(unwrap_model(model), "question_embedding_module", None)
    if not isinstance(found, nn.Module):
        raise ConfigurationError(
            f"training.clip_norm_mode is '{mode}', which clips the gradients of a model's question_embedding_module "
            f"alone, and this model has none; set training.clip_norm_mode=all"
        )
    return found


def clip_gradients(model: nn.Module, limit: float) -> Tensor:
    """Scale gradients down to a norm over a whole model, or a part, and all processes; return the norm it was."""
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    is_plain = all(type(gradient) is Tensor and gradient.device.type == "cpu" for gradient in gradients)
    if is_plain and hasattr(nn.utils, "get_total_norm"):  # PyTorch 2.6
        # Most norms are below the limit, and a CPU can look before it multiplies; a GPU would have to be
        # waited for.
        norm = nn.utils.get_total_norm(gradients)
        if not norm <= limit:
            nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        return norm
    norm: Any = nn.utils.clip_grad_norm_(parameters, limit).detach()
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
