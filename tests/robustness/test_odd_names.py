"""One file that cannot be read, or whose name is no UTF-8, costs that file alone: in search, check, build and page."""

import os

import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.media import find_media
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_video


@pytest.fixture
def folder(tmp_path):
    """A good video, names that are no UTF-8, links that lead nowhere or to themselves, a file nobody may read."""
    folder = tmp_path / "odd"
    folder.mkdir()
    data = write_video(folder / "good.mp4", 12, fps=6).read_bytes()
    write_video(folder / "ev\x1b[31mil.mp4", 12, fps=6)
    os.mkdir(os.fsencode(folder) + b"/dir\xfe")
    for name in (b"bad\xff.mp4", b"dir\xfe/x.mp4"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(data)
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "gone.mp4").symlink_to("nowhere")
    (folder / "locked.mp4").write_bytes(data)
    (folder / "locked.mp4").chmod(0)
    return folder


def test_each_command_goes_on_with_the_others(folder, tmp_path, capsys, caplog):
    known = {"good", "ev\x1b[31mil", "loop", "gone", "locked"}
    assert set(open_store(folder).keys()) == known
    assert {path.stem for path in find_media(folder, "video")} == known
    assert "2 names are no UTF-8 and are left out, rename them" in caplog.text
    assert main(["check", str(folder), "--output", str(tmp_path / "check"), "--workers", "1"]) == 1
    out, error = capsys.readouterr()
    assert "\x1b[31m" not in out + error and "Too many levels of symbolic links" in out + error
    report = build_store(open_store(folder), tmp_path / "out", "tar", verifies=True)
    assert (
        {"loop", "gone"} <= set(report.failed) <= {"loop", "gone", "locked"}
    )  # the administrator may read it
    assert report.num_written == 5 - len(report.failed)
