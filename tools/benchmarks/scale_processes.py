"""Measure how training with ``mmf_run`` grows from one process to two (gloo), on the demo corpus."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.curves import Curve
from clipbert_mmf.cli.mmf_process import (
    MMF_RUN,
    find_free_port,
    make_offline_environment,
    make_rank_environment,
)

ROOT = Path(__file__).resolve().parents[2]


def process_curves(folder: Path, quick: bool, clock: str) -> list[Curve]:
    """Train the demo's retrieval model with one and with two processes, the same 16 videos an update in both.

    The wall clock counts whatever ``clock`` says: two processes are about waiting less.
    """
    corpus = folder / "corpus"
    make = [
        sys.executable,
        "tools/make_demo_corpus.py",
        "--out",
        str(corpus),
        "--corpora",
        "msrvtt",
        "--workers",
        "1",
    ]
    sizes = ["--num-train", "20" if quick else "40", "--num-test", "4"]
    subprocess.run([*make, *sizes], cwd=ROOT, check=True, capture_output=True)
    curves = []
    for name, options in {
        "demo network": [],
        # The same computation and eight times as much to send: words that no text has.
        "large vocabulary": ["model_config.clipbert.transformer.vocab_size=50000"],
    }.items():
        curve = Curve(name, "processes", "processes")
        for world_size in (1, 2):
            save = folder / f"{name.partition(' ')[0]}_{world_size}"
            curve.points[world_size] = train(corpus, save, world_size, 4 if quick else 20, options)
        curves.append(curve)
        if quick:
            break
    return curves


def train(corpus: Path, save: Path, world_size: int, updates: int, options: list[str]) -> dict[str, float]:
    """Run ``mmf_run`` in ``world_size`` processes of one thread.

    Return its speed and the memory of one process.
    """
    port = find_free_port()
    command = [
        *MMF_RUN,
        "config=projects/clipbert/configs/msrvtt_retrieval/demo.yaml",
        "model=clipbert",
        "dataset=msrvtt_retrieval",
        "run_type=train",
        f"dataset_config.msrvtt_retrieval.data_dir={corpus / 'msrvtt'}",
        f"dataset_config.msrvtt_retrieval.processors.text_processor.params.tokenizer={corpus / 'tokenizer'}",
        f"env.save_dir={save}",
        f"training.max_updates={updates}",
        "training.log_interval=2",
        "training.num_workers=0",
        "training.evaluation_interval=100000",
        "training.batch_size=16",
        *options,
    ]
    processes = []
    for rank in range(world_size):
        environment = make_offline_environment(ROOT, **make_rank_environment(rank, world_size, port))
        with open(save.parent / f"{save.name}_{rank}.log", "w") as log:
            processes.append(
                subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            )
    peak_mib = 0.0
    for rank, process in enumerate(processes):
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(
                f"process {rank} of {world_size} failed; see {save.parent / f'{save.name}_{rank}.log'}"
            )
        peak_mib = max(peak_mib, usage.ru_maxrss / 1024)
    lines = [json.loads(line) for line in (save / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    # The first line holds what is done once.
    rates = [
        line["updates_per_sec"] for line in lines if line["split"] == "train" and line.get("updates_per_sec")
    ][1:]
    return {"updates a second": statistics.median(rates), "MiB of a process": peak_mib}
