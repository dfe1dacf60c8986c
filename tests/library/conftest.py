"""A small model with a contrastive head, and videos that differ."""

from __future__ import annotations

import shutil

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import IndexOptions, build_index
from tests.encoded_media import write_video
from tests.inference.small_run import make_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, tokenizer_dir):
    """Folder of a run with a contrastive head."""
    folder = tmp_path_factory.mktemp("contrastive") / "run"
    make_run(folder, tokenizer_dir, head={"type": "match"}, contrastive={"weight": 0.1, "size": 8})
    return folder


@pytest.fixture(scope="session")
def model(run_folder):
    """The model of ``run_folder``."""
    return ClipBert.from_pretrained(run_folder)


@pytest.fixture(scope="session")
def shared_videos(tmp_path_factory):
    """A folder of six videos of different lengths, some in a folder below, and a file that is none."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "news").mkdir()
    for number, name in enumerate(["a", "b", "c", "news/d", "news/e", "news/f"]):
        write_video(folder / f"{name}.mp4", 12 + 9 * number, fps=10)
    (folder / "bad.mp4").write_bytes(b"nothing")
    return folder


@pytest.fixture
def videos(shared_videos, tmp_path):
    """A copy of ``shared_videos`` that a test may change."""
    return shutil.copytree(shared_videos, tmp_path / "videos")


@pytest.fixture(scope="session")
def build(model, run_folder):
    """Build an index, reading in this process; return its report."""
    pytest.importorskip("lancedb")

    def make(source, out, **options):
        return build_index(model, str(run_folder), source, out, IndexOptions(timeout_sec=None, **options))

    return make


@pytest.fixture(scope="session")
def shared_index(build, shared_videos, tmp_path_factory):
    """An index of ``shared_videos`` that no test changes."""
    out = tmp_path_factory.mktemp("index") / "index"
    build(shared_videos, out)
    return out


@pytest.fixture(autouse=True)
def without_gradients():
    """Compute as the package does."""
    with torch.no_grad():
        yield
