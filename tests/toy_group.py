"""Several runs, of the toy plugin or another, one after the other, in the same few processes.

Starting those takes longest.

Run as a program by ``run_group`` with the runs as JSON; it imports once and forks. Each process joins the
others anew for every run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from clipbert_mmf.cli.mmf_process import find_free_port
from tests.toy_runs import PLUGIN, ROOT, toy_options


def run_group(
    folder: Path,
    runs: dict[str, list[str]],
    world_size: int,
    make_options: Callable[..., list[str]] = toy_options,
    timeout: float = 200,
) -> dict[str, list[dict]]:
    """Do runs with ``world_size`` gloo processes; run ``name`` writes to ``folder / name``.

    Args:
        folder: holds all runs.
        runs: options by name.
        world_size: number of processes.
        make_options: gives the whole command line for a directory and options; the toy's, if not said.
        timeout: seconds for all.

    Returns:
        by name and rank: ``threads`` of gloo that a run left behind, ``reductions`` of gradient buckets,
        ``state_bytes`` of the optimizer.
    """
    plan = [
        {"name": name, "options": make_options(folder / name, *options), "port": find_free_port()}
        for name, options in runs.items()
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "MMF_USER_DIR": str(PLUGIN),
        "MASTER_ADDR": "127.0.0.1",
        "WORLD_SIZE": str(world_size),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.toy_group", str(folder), json.dumps(plan)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return {
        name: [json.loads((folder / name / f"notes{rank}.json").read_text()) for rank in range(world_size)]
        for name in runs
    }


def gloo_threads() -> int:
    """Number of threads that gloo runs in this process."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)


def count_reductions(calls: list) -> None:
    """Note every gradient bucket that DDP sums."""
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
    from torch.nn.parallel import DistributedDataParallel

    from clipbert_mmf.plugin import trainer_host

    wrap = trainer_host.wrap_model

    def wrap_and_count(model, options):
        wrapped = wrap(model, options)
        if isinstance(wrapped, DistributedDataParallel) and options.gradient_reduction == "fp32":

            def hook(state, bucket):
                calls.append(bucket.index())
                return default_hooks.allreduce_hook(None, bucket)

            wrapped.register_comm_hook(None, hook)
        return wrapped

    trainer_host.wrap_model = wrap_and_count


def do_runs(folder: Path, plan: list[dict], rank: int) -> None:
    """Do all runs as one of several processes."""
    from mmf.common.registry import registry
    from mmf_cli.run import run

    from clipbert_mmf.training.sharding import count_state_bytes

    os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
    calls: list = []
    count_reductions(calls)
    trainers: list = []
    trainer_class = registry.get_trainer_class("clipbert")
    load = trainer_class.load
    trainer_class.load = lambda self: (trainers.append(self), load(self))[1]
    for entry in plan:
        os.environ["MASTER_PORT"] = str(entry["port"])
        calls.clear()
        save_dir = folder / entry["name"]
        save_dir.mkdir(parents=True, exist_ok=True)
        before = gloo_threads()
        run(entry["options"])
        notes = {
            "threads": gloo_threads() - before,
            "reductions": len(calls),
            "state_bytes": count_state_bytes(trainers[-1].optimizer),
        }
        trainers.clear()
        (save_dir / f"notes{rank}.json").write_text(json.dumps(notes))


def main() -> int:
    """Import once, split into as many processes as are asked for, and return how many of them failed."""
    import mmf  # noqa: F401
    import mmf_cli.run  # noqa: F401
    import torch.distributed.optim  # noqa: F401
    from mmf.utils.env import setup_imports

    import clipbert_mmf  # noqa: F401

    setup_imports()
    children = []
    for rank in range(int(os.environ["WORLD_SIZE"])):
        child = os.fork()
        if child == 0:
            do_runs(Path(sys.argv[1]), json.loads(sys.argv[2]), rank)
            return 0
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


if __name__ == "__main__":
    sys.exit(main())
