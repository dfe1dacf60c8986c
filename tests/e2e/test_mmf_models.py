"""MMF's own models still build and train in the same environment."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "mmf_models_program.py"


def test_visual_bert_and_mmbt_build_train_a_step_and_start_a_clipbert(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2]), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=250,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line for line in done.stdout.splitlines() if line.startswith(("ran ", "started from "))]
    assert said == ["ran visual_bert", "started from visual_bert", "ran mmbt", "started from mmbt"]
