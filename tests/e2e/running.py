"""MMF's command line in processes of its own, on a small run of a demo recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from clipbert_mmf.cli.mmf_process import (
    MMF_RUN,
    find_free_port,
    make_offline_environment,
    make_rank_environment,
)
from clipbert_mmf.scoring.metrics import split_metric_name

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "training.max_updates=3",
    "training.log_interval=1",
    "training.evaluation_interval=3",
    "training.num_workers=0",
    "training.batch_size=4",
]


def demo_options(corpus: Path, dataset: str, save_dir: Path, *options: str) -> list[str]:
    """Return the command line of a small run of a demo recipe."""
    folder = {"msrvtt_retrieval": "msrvtt", "msrvtt_mc": "msrvtt", "coco_captions_pretraining": "coco"}[
        dataset
    ]
    return [
        f"config=projects/clipbert/configs/{dataset}/demo.yaml",
        "model=clipbert",
        f"dataset={dataset}",
        f"dataset_config.{dataset}.data_dir={corpus / folder}",
        f"dataset_config.{dataset}.processors.text_processor.params.tokenizer={corpus / 'tokenizer'}",
        f"env.save_dir={save_dir}",
        *SMALL,
        *options,
    ]


def make_environment(**more: str) -> dict[str, str]:
    """Return the environment of a process of a test: this tree's package, one thread, no hub."""
    return make_offline_environment(ROOT, **more)


def run_plan(program: str, plan: dict[str, list[str]], folder: Path, *arguments: Path) -> dict[str, int]:
    """Run several command lines of MMF through a program beside this file.

    Return the exit code of each by its name.

    What a run printed is in ``folder/plan.json.<name>.log``.
    """
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), str(file), *map(str, arguments)],
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def start_mmf(options: list[str], rank: int = 0, world_size: int = 1, port: int = 0) -> subprocess.Popen:
    """Start ``mmf_run`` as one of ``world_size`` processes, as torchrun does."""
    return subprocess.Popen(
        [*MMF_RUN, *options],
        env=make_environment(**make_rank_environment(rank, world_size, port)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_mmf(options: list[str], world_size: int = 1, fails: bool = False) -> str:
    """Run to the end and return what the first process printed."""
    port = find_free_port()
    processes = [start_mmf(options, rank, world_size, port) for rank in range(world_size)]
    outputs = [process.communicate(timeout=250)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert (process.returncode != 0) == fails, output[-4000:]
    return outputs[0]


def read_metrics(save_dir: Path, split: str) -> dict[str, float]:
    """Return the last metrics of a split, by ``<metric>/<name>``."""
    records = [json.loads(line) for line in (save_dir / "metrics.jsonl").read_text().splitlines()]
    last = [record for record in records if record["split"] == split][-1]
    return {split_metric_name(name)[2]: value for name, value in last["metrics"].items()}
