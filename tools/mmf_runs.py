"""Runs of ``mmf_run`` that a tool starts one after the other, and what it reads of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_mmf(options: list[str], log: Path) -> dict[str, float]:
    """Run ``mmf_run`` and return its seconds and its largest resident memory in MiB.

    Raises:
        SystemExit: if it fails, naming its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from mmf_cli.run import run; run()", *options]
    begin = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"'{' '.join(command)}' failed with exit code {process.returncode}; see {log}")
    return {"seconds": time.monotonic() - begin, "max_memory_mib": usage.ru_maxrss / 1024}


def read_training_lines(folder: Path) -> list[dict]:
    """Return what a run logged while it trained."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line.get("split") == "train"]


def read_step_seconds(folder: Path) -> float:
    """Return the median time of an update that a run logged."""
    rates = sorted(
        line["updates_per_sec"] for line in read_training_lines(folder) if line.get("updates_per_sec")
    )
    return 1 / rates[len(rates) // 2]


def count_parameters(weights: Path) -> int:
    """Return the number of parameters of a run's final weights, shared ones once, statistics of norms left out."""
    import torch

    state = torch.load(str(weights), map_location="cpu", weights_only=True)
    kept = {
        tensor.data_ptr(): tensor.numel()
        for name, tensor in state.items()
        if tensor.is_floating_point() and not name.endswith(("running_mean", "running_var"))
    }
    return sum(kept.values())
