"""A run killed at any step of any save goes on bit for bit, with the right best state."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clipbert_mmf.cli.mmf_process import make_offline_environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "accuracy, best",
    [
        pytest.param("0.2,0.4,0.6", 6, marks=pytest.mark.long),
        ("0.2,0.6,0.4", 4),
        pytest.param("0.6,0.4,0.2", 2, marks=pytest.mark.long),
    ],
)
def test_a_kill_at_any_step_of_a_save_loses_nothing(tmp_path, accuracy, best):
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.crash_program", str(tmp_path), accuracy],
        env=make_offline_environment(ROOT),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["problems"] == [] and result["best"] == best
    assert {"replace", "link", "fsync", "unlink"} <= set(result["steps"]) and len(result["steps"]) > 20
