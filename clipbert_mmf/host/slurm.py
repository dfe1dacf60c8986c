"""Finds the rank of this process in a Slurm job step, so that ``srun`` alone starts a run.

Runs before MMF looks for a launcher; imports neither MMF nor torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: Range of ports for jobs: above the registered services, below those that systems hand out for connections.
_FIRST_PORT, _NUM_PORTS = 12000, 20000


@dataclass(frozen=True)
class SlurmTask:
    """One process of a job step.

    Attributes:
        rank: number of this process over all nodes, from 0.
        local_rank: number of this process on its node, from 0.
        world_size: number of processes.
        address: host name of the node that runs process 0.
        port: port that process 0 listens on.
    """

    rank: int
    local_rank: int
    world_size: int
    address: str
    port: int


def find_slurm_task(environment: Mapping[str, str], port: int | None = None) -> SlurmTask | None:
    """Return the task that ``srun`` made of this process, or None where it did not start several.

    A script that ``sbatch`` runs, or a shell of ``salloc``, sees the job's variables too, but belongs to no
    step.

    Args:
        environment: ``os.environ``.
        port: port that process 0 listens on; None takes ``MASTER_PORT``, or derives one from the numbers of
            job and step.

    Raises:
        ValueError: if a variable is missing or is not a number.
    """
    world_size = environment.get("SLURM_STEP_NUM_TASKS")
    if world_size is None and "SLURM_STEP_NODELIST" in environment:
        world_size = environment.get("SLURM_NTASKS")
    if world_size is None or _number(environment, "SLURM_STEP_NUM_TASKS", world_size) < 2:
        return None
    job = _number(environment, "SLURM_JOB_ID", environment.get("SLURM_JOB_ID", "0"))
    step = _number(environment, "SLURM_STEP_ID", environment.get("SLURM_STEP_ID", "0"))
    if port is None:
        own = _FIRST_PORT + (job * 31 + step) % _NUM_PORTS
        port = _number(environment, "MASTER_PORT", environment.get("MASTER_PORT", str(own)))
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or ""
    address = environment.get("MASTER_ADDR") or first_node(nodes)
    return SlurmTask(
        _number(environment, "SLURM_PROCID"),
        _number(environment, "SLURM_LOCALID"),
        int(world_size),
        address,
        port,
    )


def _number(environment: Mapping[str, str], name: str, value: str | None = None) -> int:
    value = environment.get(name) if value is None else value
    if value is None or not value.isdigit():
        raise ValueError(f"srun started this process, but {name} is {value!r}; expected a number")
    return int(value)


def first_node(nodes: str) -> str:
    """Return the first host of Slurm's short form: ``gpu[03-05,9],login`` gives ``gpu03``.

    Raises:
        ValueError: if there is no host.
    """
    match = re.match(r"(?:[^,\[\]]|\[[^\]]*\])+", nodes)
    if not match:
        raise ValueError(f"SLURM_STEP_NODELIST is {nodes!r}; expected names of nodes, as in gpu[03-05]")
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", match[0])
