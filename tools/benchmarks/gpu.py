"""Measure what a card does with the full-size model, one part after another; ``tools/gpu_check.py`` starts it.

Each part returns a ``Finding``, which is written as soon as it is there. A part that fails is written with its
error, and the next one begins; after an error of the card itself the process ends, and the caller starts
another for the parts that are left.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import gpu_runs, gpu_steps
from benchmarks.gpu_finding import Bench, Finding

#: Name -> what it measures, the most telling first: a time limit cuts the last ones off.
PARTS: dict[str, Callable[[Bench], Finding]] = {
    "peaks": gpu_steps.measure_peaks,
    "steps": gpu_steps.measure_steps,
    "profile": gpu_steps.profile_step,
    "retrieval": gpu_runs.measure_retrieval,
    "batches": gpu_steps.find_batches,
    "checkpointing": gpu_steps.measure_checkpointing,
    "graphs": gpu_steps.replay_graphs,
    "data": gpu_runs.measure_data_wait,
    "peers": gpu_runs.compare_with_peers,
    "compile": gpu_steps.compile_step,
}
#: Exit code of a process whose card can compute no more.
CARD_IS_LOST = 3


def run_parts(bench: Bench, names: list[str], results: Path, deadline: float) -> int:
    """Measure parts and write each result as a line of JSON; return the exit code."""
    for name in names:
        begin = time.monotonic()
        if begin > deadline:
            break
        record: dict[str, object] = {"part": name}
        is_lost = False
        try:
            record.update(status="ok", **asdict(PARTS[name](bench)))
        except Exception as error:
            lines = traceback.format_exc()
            is_lost = "CUDA error" in lines or type(error).__name__ == "AcceleratorError"
            record.update(
                status="failed", headline=str(error).strip().splitlines()[-1][:300], error=lines[-3000:]
            )
        record["seconds"] = round(time.monotonic() - begin, 1)
        record["peaks"] = bench.peaks
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{name}: {record['status']} in {record['seconds']} s: {record['headline']}", flush=True)
        if is_lost:
            return CARD_IS_LOST
        if bench.has_card:
            torch.cuda.empty_cache()
    return 0


def main() -> int:
    """Parse the arguments that ``gpu_check.py`` gives and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--stem", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--peaks", type=json.loads, default={})
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("parts", nargs="+", choices=list(PARTS))
    args = parser.parse_args()
    bench = Bench(args.device, args.quick, args.stem, args.work, args.peaks)
    return run_parts(bench, args.parts, args.results, time.monotonic() + args.seconds)


if __name__ == "__main__":
    sys.exit(main())
