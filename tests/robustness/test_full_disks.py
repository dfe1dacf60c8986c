"""A disk that is full: the last line names the file and what is free, old files stay, and stores stay readable."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.checkpoint_files import check_space, save_atomically
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.writing import WriteError
from tests.e2e.running import make_environment
from tests.training.plain_host import Parts

ROOT = Path(__file__).resolve().parents[2]
#: Largest file that the programs below may write: no disk of a test can be filled without a mount.
LIMIT_BYTES = 300_000
TOLD = "could not be written: "


def run_limited(program: str, *words: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES)),
    )


BUILD = """
import sys
from clipbert_mmf.cli.main import main
for kind in ("lmdb", "tar", "folder"):
    words = ["build-store", sys.argv[1], f"{sys.argv[2]}/{kind}", "--to", kind, "--no-verify", "--workers", "1"]
    print(kind, main(words))
"""


def test_a_store_that_cannot_be_written_is_named_and_stays_readable(tmp_path):
    (tmp_path / "videos").mkdir()
    data = np.random.default_rng(0).bytes(200_000)
    for name in "abc":
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(data)
    (tmp_path / "videos" / "d.mp4").write_bytes(data * 2)
    done = run_limited(BUILD, tmp_path / "videos", tmp_path / "out")
    assert [line for line in done.stdout.splitlines() if line[-2:] == " 1"] == ["lmdb 1", "tar 1", "folder 1"]
    told = [line for line in done.stderr.splitlines() if line.startswith("clipbert build-store: ")]
    assert len(told) == 3 and all(TOLD in line and "MiB are free there" in line for line in told), done.stderr
    assert "data.mdb" in told[0] and "media-000000.tar" in told[1] and "d.mp4" in told[2]
    assert "Traceback" not in done.stderr
    assert open_store(tmp_path / "out" / "folder").keys() == ["a", "b", "c"]
    assert not list((tmp_path / "out").rglob("*.part"))


WRITE = """
import sys
from pathlib import Path
import torch
from clipbert_mmf.retrieval.score_store import ScoreStore
from clipbert_mmf.training.checkpoint_files import save_atomically
from clipbert_mmf.training.logging import MetricsFile
from clipbert_mmf.writing import WriteError
folder = Path(sys.argv[1])
store = ScoreStore(folder / "scores", {"a": "b"})
store.open()
writes = (
    lambda: store.write(0, torch.arange(100_000), torch.zeros(100_000, 2)),
    lambda: save_atomically({"a": torch.zeros(100_000)}, folder / "current.ckpt"),
    lambda: [MetricsFile(folder, True).write({"x": "y" * 100_000}) for _ in range(4)],
)
for write in writes:
    try:
        write()
    except WriteError as error:
        print(error)
"""


def test_scores_checkpoints_and_records_are_named(tmp_path):
    save_atomically({"a": 1}, tmp_path / "current.ckpt")
    done = run_limited(WRITE, tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all(TOLD in line for line in lines), done.stdout + done.stderr
    for line, name in zip(lines, ("video000000", "current.ckpt", "metrics.jsonl"), strict=True):
        assert name in line
    assert torch.load(tmp_path / "current.ckpt") == {"a": 1} and not list(tmp_path.rglob("*.part"))
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])


def test_states_that_cannot_fit_are_refused_at_the_start(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    check_space(tmp_path, 1 << 20, 4)
    told = r"has \d+ MiB free, and the run needs \d+ MiB more: it keeps up to 4 states of about 1073741824 MiB each"
    with pytest.raises(ConfigurationError, match=told):
        check_space(tmp_path, 1 << 50, 4)
    parts = Parts(tmp_path, max_updates=6, evaluation_interval=2)
    counts = []
    for kept in (-1, 1, 3):
        monkeypatch.setattr(
            type(parts.checkpointer.options),
            "max_to_keep",
            property(lambda self, kept=kept: kept),
            raising=False,
        )
        counts.append(parts.checkpointer._count_states())
    assert counts == [4, 3, 4]


def test_a_mount_that_is_full_is_told_with_what_is_free(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True
    )
    if done.returncode:
        pytest.skip("this process may not mount a file system")
    try:
        with pytest.raises(
            WriteError, match=r"a.ckpt could not be written: No space left on device; 0\.\d MiB are free"
        ):
            save_atomically({"a": torch.zeros(100_000)}, mount / "a.ckpt")
        assert os.listdir(mount) == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)
