"""The demo corpus at tiny size, made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """The demo corpus at tiny size; tests that damage it work on a copy."""
    out = tmp_path_factory.mktemp("corpus")
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_demo_corpus.py"), "--out", str(out), "--num-train", "20",
         "--num-test", "7", "--num-images", "24", "--workers", "1"],
        check=True, capture_output=True, timeout=120,
    )
    return out
