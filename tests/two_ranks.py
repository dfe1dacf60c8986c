"""A short program in two gloo processes, without MMF."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run_two_ranks(program: str, folder: Path) -> list[Any]:
    """Return what the program prints as JSON in each process.

    Args:
        program: Python source; its arguments are the rank, and a file where the processes meet.
        folder: holds that file.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPBERT_MMF_HOST": "0"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(rank), str(folder / "meet")],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return [json.loads(process.communicate(timeout=60)[0]) for process in ranks]
