"""A thousand damaged files and requests give a value or a typed error in one line, and leave nothing behind.

More by hand: ``python -m tests.robustness.damage --inputs 20000 --seed 1``.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import make_environment

ROOT = Path(__file__).resolve().parents[2]


def test_random_damage_is_told_and_harms_nothing():
    pytest.importorskip("waitress", reason="waitress is not installed: pip install 'clipbert_mmf[demo]'")
    done = subprocess.run(
        [sys.executable, "-m", "tests.robustness.damage", "--inputs", "1000", "--seed", "0"],
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["defects"] == [], "\n".join(report["defects"])
    assert report["value"] + report["error"] == 1000 and min(report["value"], report["error"]) > 200
    assert report["outside"] == [] and report["children"] == [] and report["memory_mib"] < 1000
