"""A process that fails tells the others why, through the store by which they found each other."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Two forks of one process; the one that the argument names raises, the other waits for it in a sum.
PROGRAM = """
import os, sys, torch
from torch import distributed as dist
from clipbert_mmf.training.failure_reports import report_failures
children = []
for rank in (0, 1):
    child = os.fork()
    if child == 0:
        dist.init_process_group("gloo", store=dist.FileStore(sys.argv[2], 2), rank=rank, world_size=2)
        try:
            with report_failures(lambda: "update 4, epoch 2"):
                dist.all_reduce(torch.ones(1))
                if rank == int(sys.argv[1]):
                    raise KeyError("video7")
                dist.all_reduce(torch.ones(1))
        except Exception as error:
            print(f"{rank}: {type(error).__name__}: {error}", flush=True)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("failing", [0, 1])
def test_the_others_end_with_the_reason_of_the_first(tmp_path, failing):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(failing), str(tmp_path / "store")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
    )
    waiting = 1 - failing
    assert set(done.stdout.splitlines()) == {
        f"{failing}: KeyError: 'video7'",
        f"{waiting}: LostProcessError: process {waiting} of 2 stops at update 4, epoch 2, because process "
        f"{failing} failed at "
        "update 4, epoch 2: KeyError: 'video7'",
    }, done.stderr
