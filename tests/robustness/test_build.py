"""A build takes no file that training could not read, and takes it later once it is whole."""

import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_video


@pytest.fixture
def folder(tmp_path):
    """A good video, an empty file, and half of a video."""
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "good.mp4", 20, fps=10)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "half.mp4").write_bytes((folder / "good.mp4").read_bytes()[:-400])
    return folder


def test_damaged_files_are_named_and_taken_once_they_are_whole(folder, tmp_path, capsys):
    words = ["build-store", str(folder), str(tmp_path / "out"), "--to", "tar"]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "failed: empty: EmptyMediaError" in error and "failed: half: " in error
    assert open_store(tmp_path / "out").keys() == ["good"]
    for name in ("empty", "half"):
        (folder / f"{name}.mp4").write_bytes((folder / "good.mp4").read_bytes())
    assert main(words) == 0
    assert open_store(tmp_path / "out").keys() == ["empty", "good", "half"]


def test_a_file_that_grows_is_not_taken(folder, tmp_path):
    class Growing(FolderStore):
        def find(self, key):
            path = super().find(key)
            with path.open("ab") as file:
                file.write(b"\0" * 8)
            return path

    report = build_store(Growing(str(folder)), tmp_path / "out", "lmdb", verifies=True)
    assert report.num_media == 0 and "it changed while it was read" in report.failed["good"]
