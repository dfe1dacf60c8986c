"""Starts ``mmf_run`` in processes of its own; nothing here imports MMF."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: Command of ``mmf_run`` under this interpreter; the console script may be of another environment.
MMF_RUN = (sys.executable, "-c", "import clipbert_mmf\nfrom mmf_cli.run import run\nrun()")


class ProcessCost(NamedTuple):
    """Cost of a finished process.

    Attributes:
        seconds: from its start to its end.
        max_memory_mib: largest resident memory.
    """

    seconds: float
    max_memory_mib: float


def require_mmf() -> None:
    """Raise ``ModuleNotFoundError`` with what to type where MMF is not installed; it is not imported."""
    if importlib.util.find_spec("mmf_cli") is None:
        raise ModuleNotFoundError("MMF is not installed in this environment; run: clipbert install-mmf")


class MmfRunError(RuntimeError):
    """A run of ``mmf_run`` that failed; the message has its last line and names its log."""


def make_rank_environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    """Return the variables of one process of several on this machine, as torchrun sets them.

    Args:
        rank: number of the process, from 0.
        world_size: number of processes; for 1 there are no variables.
        port: where the processes meet, such as ``find_free_port`` returns.
    """
    if world_size == 1:
        return {}
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world_size),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }


def make_offline_environment(root: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process that uses a checkout, one thread and no network.

    Args:
        root: the checkout whose package the process imports, before what ``PYTHONPATH`` names.
        more: further variables; they win.
    """
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **more,
    }


def find_free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_mmf(options: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> ProcessCost:
    """Run ``mmf_run`` to its end.

    Args:
        options: its command line.
        log: file for what it prints; its folder is made if missing.
        environment: the process's; that of this one where it is None.

    Raises:
        ModuleNotFoundError: if MMF is not installed.
        MmfRunError: if it fails.
    """
    require_mmf()
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*MMF_RUN, *options], stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        printed = log.read_text(encoding="utf-8", errors="replace")
        sentence = printed.rpartition("\nmmf_run: ")[2] if "\nmmf_run: " in printed else ""
        lines = [line.strip() for line in printed.split("\n") if line.strip()]
        last = sentence.strip() or (lines[-1] if lines else "it printed nothing")
        raise MmfRunError(f"mmf_run failed with exit code {process.returncode}: {last} (all of it: {log})")
    return ProcessCost(time.monotonic() - begin, usage.ru_maxrss / 1024)
