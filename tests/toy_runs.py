"""Runs the toy plugin through MMF's command line, in this process or in others, and reads what it wrote."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from clipbert_mmf.cli.mmf_process import make_offline_environment, make_rank_environment

PLUGIN = Path(__file__).resolve().parent / "toy_plugin"
ROOT = PLUGIN.parent.parent
PROGRAM = PLUGIN.parent / "toy_program.py"


def toy_options(save_dir: Path, *options: str) -> list[str]:
    """Return the command line of a toy run."""
    return [
        f"config={PLUGIN / 'configs' / 'run.yaml'}",
        "model=toy_mlp",
        "dataset=toy_points",
        f"env.user_dir={PLUGIN}",
        f"env.save_dir={save_dir}",
        *options,
    ]


def run_here(save_dir: Path, *options: str, predict: bool = False) -> list[dict]:
    """Run in this process and return the records of ``metrics.jsonl``."""
    import mmf  # noqa: F401  registers the plugin
    from mmf_cli.run import run

    run(toy_options(save_dir, *options), predict=predict)
    return read_records(save_dir) if (Path(save_dir) / "metrics.jsonl").exists() else []


def start(save_dir: Path, *options: str, rank: int = 0, world_size: int = 1, port: int = 0, **env: str):
    """Start a process of its own, as one of ``world_size``."""
    own = {"MMF_USER_DIR": str(PLUGIN), **env, **make_rank_environment(rank, world_size, port)}
    environment = make_offline_environment(ROOT, **own)
    return start_program([str(PROGRAM), *toy_options(save_dir, *options)], environment)


def start_torchrun(save_dir: Path, launcher: list[str], *options: str, **env: str):
    """Start torchrun on one node."""
    environment = make_offline_environment(ROOT, **{"MMF_USER_DIR": str(PLUGIN), **env})
    return start_program(
        ["-m", "torch.distributed.run", *launcher, str(PROGRAM), *toy_options(save_dir, *options)],
        environment,
    )


def start_program(arguments: list[str], environment: dict[str, str], before: tuple[str, ...] = ()):
    """Start python with arguments, as ``before`` would (``ip netns exec NAME``)."""
    return subprocess.Popen(
        [*before, sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # nohup, under which a suite may run, has SIGHUP ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        text=True,
    )


def read_records(save_dir: Path) -> list[dict]:
    """Return the records of ``metrics.jsonl``."""
    return [json.loads(line) for line in (Path(save_dir) / "metrics.jsonl").read_text().splitlines()]


def losses_by_update(records: list[dict]) -> dict[int, float]:
    """Return the total training loss of every logged update."""
    return {r["update"]: r["losses"]["train/total_loss"] for r in records if r["split"] == "train"}
