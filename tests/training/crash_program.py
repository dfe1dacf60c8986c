"""A program that trains, is killed at each step of a save in turn, goes on, and compares with a run never killed.

Runs are forks, so that torch is imported once. Prints JSON: ``{"steps": names of the steps, "problems": [...]}``.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
from pathlib import Path

import torch

from clipbert_mmf.training.options import EarlyStopOptions
from tests.toy_runs import read_records
from tests.training.plain_host import Parts

STEPS = ("replace", "rename", "link", "fsync", "unlink")
#: Differ between two runs of the same command.
TIMES = {"seconds", "updates_per_sec", "data_wait", "eta_sec"}


def train(folder):
    stop = EarlyStopOptions(criteria="points/accuracy", minimize=False)
    is_resumed = (folder / "current.ckpt").exists()
    settings = {"max_updates": 6, "evaluation_interval": 2, "checkpoint_interval": 3, "log_interval": 1}
    parts = Parts(folder, resume=is_resumed, early_stop=stop, max_to_keep=1, **settings)
    accuracy = dict(zip((2, 4, 6), map(float, sys.argv[2].split(",")), strict=True))
    parts.host.compute_metrics = lambda report: {
        "val/points/accuracy": torch.tensor(accuracy[parts.run.num_updates])
    }
    parts.loop.train()
    parts.evaluator.log("val", parts.evaluator.evaluate("val"), final=True)


def fork(work):
    """Run a function in a process of its own and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_steps(folder, kill_at):
    """Train, and kill this process at a step of a save; note the steps in a file."""
    done = []

    def watch(name, function):
        def step(*args, **kwargs):
            if isinstance(args[0], int) or str(args[0]).startswith(str(folder)):
                done.append(name)
                if len(done) - 1 == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return step

    for name in STEPS:
        setattr(os, name, watch(name, getattr(os, name)))
    train(folder)
    (folder / "steps.json").write_text(json.dumps(done))
    (folder / "modules.json").write_text(json.dumps(list(sys.modules)))


def describe(folder):
    """Return everything that must be the same: records, final weights, and the best state."""
    records = [
        {key: value for key, value in record.items() if key not in TIMES} for record in read_records(folder)
    ]
    best = torch.load(folder / "best.ckpt", weights_only=True)
    current = torch.load(folder / "current.ckpt", weights_only=True)
    states = [torch.load(folder / "final.pth", weights_only=True), best["model"], current["model"]]
    weights = [[state[name].tolist() for name in sorted(state)] for state in states]
    return (
        records,
        best["num_updates"],
        current["num_updates"],
        weights,
        sorted(path.name for path in folder.glob("models/*.ckpt")),
    )


def main():
    folder = Path(sys.argv[1])
    whole = folder / "whole"
    whole.mkdir()
    assert fork(lambda: count_steps(whole, -1)) == 0
    for name in json.loads((whole / "modules.json").read_text()):
        if name.startswith("torch.") and name not in sys.modules:  # else each fork imports it
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    steps, expected, problems = json.loads((whole / "steps.json").read_text()), describe(whole), []
    for number, name in enumerate(steps):
        part = folder / str(number)
        part.mkdir()
        code = fork(lambda part=part, number=number: count_steps(part, number))
        resumed = fork(lambda part=part: train(part))
        if (code, resumed) != (-9, 0) or describe(part) != expected:
            problems.append(f"step {number} ({name}): exit codes {code} and {resumed}")
        elif list(part.rglob("*.part")) + list(part.glob("*.previous")):
            problems.append(f"step {number} ({name}): half-written files are left")
    print(json.dumps({"steps": steps, "problems": problems, "best": expected[1]}))


if __name__ == "__main__":
    main()
