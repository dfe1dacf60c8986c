"""Fixtures of the verbs: three short videos and the folder of a small run."""

import pytest

from tests.encoded_media import write_video
from tests.inference.small_run import make_run


@pytest.fixture(scope="session")
def short_videos(tmp_path_factory):
    """Folder of three videos of 3, 4 and 5 seconds, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("short_videos")
    (folder / "deep").mkdir()
    for number, name in enumerate(["a.mp4", "b.mp4", "deep/c.mp4"]):
        write_video(folder / name, 30 + 10 * number, fps=10)
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, tokenizer_dir):
    """Folder of a run of a retrieval model."""
    folder = tmp_path_factory.mktemp("small_run") / "run"
    make_run(folder, tokenizer_dir)
    return folder
