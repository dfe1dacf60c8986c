"""Compatibility patches that let MMF run as several processes on a CPU, and as one per GPU under torchrun or Slurm.

``mmf_cli.run`` of MMF starts and numbers the processes; ``mmf.utils.distributed`` joins them. Both assume
that several processes use NCCL, and that a process which torchrun started sees one GPU.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from types import ModuleType
from typing import Any

from clipbert_mmf.host.slurm import find_slurm_task
from clipbert_mmf.host.standins import Standin

logger = logging.getLogger(__name__)

#: Module of MMF's command line; it is imported before any run starts. Started by ``python -m``, it is
#: ``__main__``.
_RUNNER = "mmf_cli.run"


def count_processes_without_nccl(module: Any) -> None:
    """Tell MMF that NCCL is available.

    Without NCCL (a CPU build of torch) every process takes itself for the only one, so all of them write
    checkpoints and read all of the data. Remove when MMF asks ``torch.distributed`` whether it is
    initialized.
    """
    additions = {"is_nccl_available": lambda: True}
    module.dist = Standin("torch.distributed", "torch.distributed", additions=additions)


def join_with_any_backend(module: Any) -> None:
    """Let processes join with gloo on a CPU, with ``distributed.backend`` otherwise.

    MMF ends joining in a CUDA call whatever the backend, and refuses a single torchrun process.
    ``distributed.timeout_sec`` is the longest wait for another process. Remove when MMF chooses the backend
    by the device.
    """
    join = module.distributed_init

    @functools.wraps(join)
    def distributed_init(config: Any) -> int:
        if getattr(module, "is_xla", lambda: False)():
            return join(config)
        import torch

        # Import these before joining: their default arguments would hold on to the process group until Python
        # ends.
        import torch.distributed.nn
        import torch.distributed.optim

        if not torch.distributed.is_initialized():
            timeout = read_timeout(config.distributed)
            # PyTorch 2.1 does not take None for its own timeout.
            options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
            on_cpu = not torch.cuda.is_available() or _get(config.training, "device") == "cpu"
            torch.distributed.init_process_group(
                backend="gloo" if on_cpu else config.distributed.backend,
                init_method=config.distributed.init_method,
                world_size=config.distributed.world_size,
                rank=config.distributed.rank,
                **options,
            )
            module.suppress_output(torch.distributed.get_rank() == 0)
        config.distributed.rank = torch.distributed.get_rank()
        logger.info("process %d of %d joined", config.distributed.rank, torch.distributed.get_world_size())
        return config.distributed.rank

    module.distributed_init = distributed_init


def _get(section: Mapping[str, Any], key: str) -> Any:
    # OmegaConf 2.0 raises in "get" where a section is closed to new keys, as MMF's are.
    return section[key] if key in section else None  # noqa: SIM401


def read_timeout(section: Mapping[str, Any]) -> timedelta | None:
    """Return ``distributed.timeout_sec``; None where it is not given, which is torch's own.

    Args:
        section: ``distributed`` of the configuration.

    Raises:
        ValueError: if the number is not above 0.
    """
    seconds = _get(section, "timeout_sec")
    if seconds is None:
        return None
    if float(seconds) <= 0:
        raise ValueError(
            f"distributed.timeout_sec is {seconds}; expected seconds above 0, or null for torch's own"
        )
    return timedelta(seconds=float(seconds))


def start_with_any_device(module: Any) -> None:
    """Number processes as torchrun and ``srun`` do, and spawn them on a CPU too.

    Under torchrun MMF uses GPU 0 for all processes of a machine; it notices ``srun`` only with
    ``distributed.port``, and then needs ``world_size`` on top; it refuses ``distributed.world_size=2``
    without as many GPUs. Remove when MMF reads ``LOCAL_RANK`` and Slurm's numbers, and spawns on CPUs.
    """
    infer = module.infer_init_method

    @functools.wraps(infer)
    def infer_init_method(config: Any) -> None:
        distributed = config.distributed
        _join_slurm_step(distributed)
        if distributed.init_method is None:
            infer(config)
        runner = _find_runner()
        if runner is None:
            return
        if distributed.init_method is not None and distributed.no_spawn:
            _use_local_rank(runner)
        elif distributed.init_method is None and distributed.world_size > 1:
            _spawn_on_cpu(runner)

    module.infer_init_method = infer_init_method


def _find_runner() -> ModuleType | None:
    """Return MMF's command line, under its own name or as the program that python was started with."""
    program = sys.modules.get("__main__")
    is_runner = hasattr(program, "distributed_main") and hasattr(program, "infer_init_method")
    return program if is_runner else sys.modules.get(_RUNNER)


def _join_slurm_step(distributed: Any) -> None:
    """Number this process as ``srun`` did, unless torchrun did or MMF is to start one process per GPU on each node."""
    if "RANK" in os.environ or distributed.init_method is not None:
        return
    task = find_slurm_task(os.environ, distributed.port if distributed.port > 0 else None)
    if task is None or (distributed.port > 0 and distributed.world_size > task.world_size):
        return
    distributed.init_method = f"tcp://{task.address}:{task.port}"
    distributed.rank, distributed.world_size, distributed.no_spawn = task.rank, task.world_size, True


def _use_local_rank(runner: Any) -> None:
    main = getattr(runner.distributed_main, "__wrapped__", runner.distributed_main)

    @functools.wraps(main)
    def distributed_main(device_id: int, configuration: Any, predict: bool = False) -> Any:
        import torch
        from torch.distributed.elastic.multiprocessing.errors import record

        local_rank = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or device_id)
        # Where a launcher shows each process one GPU, that one has number 0.
        device_id = local_rank % max(1, torch.cuda.device_count())
        # This leaves the error where torchrun looks for it, so that its summary tells the reason.
        return record(main)(device_id, configuration, predict)

    runner.distributed_main = distributed_main


def _spawn_on_cpu(runner: Any) -> None:
    """Answer MMF's question how many devices there are with as many processes as anyone may want."""
    import torch

    if torch.cuda.is_available():
        return
    cuda = Standin(
        "torch.cuda", "torch.cuda", additions={"device_count": lambda: 1024 * (os.cpu_count() or 1)}
    )
    runner.torch = Standin("torch", "torch", additions={"cuda": cuda})


def accept_dashed_local_rank(module: Any) -> None:
    """Accept ``--local-rank``, as launchers write ``--local_rank`` since PyTorch 2, and heed it.

    MMF takes it for an option of the configuration, and never reads the other. ``LOCAL_RANK`` wins. Remove when
    MMF knows it.
    """

    class UseLocalRank(argparse.Action):
        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
            setattr(namespace, self.dest, values)
            os.environ.setdefault("LOCAL_RANK", str(values))

    parser = module.flags.parser
    (known,) = (action for action in parser._actions if action.dest == "local_rank")
    parser._handle_conflict_resolve(None, [("--local_rank", known)])
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=None, action=UseLocalRank, help=known.help
    )
