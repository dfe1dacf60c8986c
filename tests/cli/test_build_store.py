"""``clipbert build-store`` packs a folder; what failed is listed and decides the exit status."""

import json
import shutil

import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.video.stores.open import open_store


@pytest.mark.parametrize("kind", ["lmdb", "tar"])
def test_a_folder_is_packed(short_videos, tmp_path, kind):
    target = tmp_path / "built"
    assert main(["build-store", str(short_videos), str(target), "--to", kind, "--workers", "1"]) == 0
    assert len(open_store(str(target)).keys()) == 3
    assert json.loads((tmp_path / "built.report.json").read_text())["num_media"] == 3


def test_a_medium_that_fails_ends_with_1_and_is_in_the_report(short_videos, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(short_videos / "a.mp4", source)
    (source / "broken.mp4").write_bytes(b"no video")
    arguments = ["build-store", str(source), str(tmp_path / "built"), "--short-side", "32", "--workers", "1"]
    assert main([*arguments, "--report", str(tmp_path / "r.json")]) == 1
    assert list(json.loads((tmp_path / "r.json").read_text())["failed"]) == ["broken"]
