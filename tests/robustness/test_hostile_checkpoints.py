"""No file that a run loads runs code, also under the loading default of PyTorch before 2.6."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipbert_mmf.weights.files import WeightsFileError, read_checkpoint
from tests.e2e.running import make_environment

ROOT = Path(__file__).resolve().parents[2]


class Hostile:
    """Makes a file when it is read with code allowed."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [False, True])
def test_the_checkpoint_of_a_run_is_read_without_its_code(tmp_path, monkeypatch, legacy):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    good, bad = tmp_path / "good.ckpt", tmp_path / "bad.ckpt"
    state = {"model": {"weight": torch.ones(2)}, "num_updates": 3, "config": {"a": [1, None]}}
    torch.save(state, good, _use_new_zipfile_serialization=not legacy)
    torch.save({**state, "x": Hostile(tmp_path / "ran")}, bad, _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(good)
    assert found["num_updates"] == 3 and torch.equal(found["model"]["weight"], torch.ones(2))
    with pytest.raises(WeightsFileError, match=r"bad\.ckpt would run code when read and is refused"):
        read_checkpoint(bad)
    torch.save([1], good)
    with pytest.raises(WeightsFileError, match="holds a list; expected the checkpoint of a run"):
        read_checkpoint(good)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_checkpoint(tmp_path / "none.ckpt")
    assert not (tmp_path / "ran").exists()


PROGRAM = """
import json, sys
from types import SimpleNamespace
import clipbert_mmf, mmf
from mmf.utils.checkpoint import Checkpoint
from clipbert_mmf.plugin.trainer_checkpoint import RunCheckpoint

for kind in (Checkpoint, RunCheckpoint):
    checkpoint = kind.__new__(kind)
    checkpoint.device = "cpu"
    for file in sys.argv[1:]:
        try:
            print(kind.__name__, checkpoint._torch_load(file)["num_updates"])
        except Exception as error:
            print(kind.__name__, type(error).__name__)
"""


def test_no_trainer_of_mmf_runs_code_of_a_file(tmp_path):
    good, bad = tmp_path / "good.ckpt", tmp_path / "bad.ckpt"
    torch.save({"model": {}, "num_updates": 3}, good)
    torch.save({"model": {}, "num_updates": 3, "x": Hostile(tmp_path / "ran")}, bad)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(good), str(bad)],
        cwd=ROOT,
        env=make_environment(TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines() if "Checkpoint" in line]
    assert lines == [
        ["Checkpoint", "3"],
        ["Checkpoint", "UnpicklingError"],
        ["RunCheckpoint", "3"],
        ["RunCheckpoint", "WeightsFileError"],
    ]
    assert not (tmp_path / "ran").exists()
