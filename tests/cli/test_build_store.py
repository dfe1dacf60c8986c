"""``clipbert build-store``: a folder packed and unpacked, a report beside it, exit code 1 if a medium failed."""

import json

import pytest


@pytest.mark.parametrize("kind", ["lmdb", "tar"])
def test_a_packed_folder_checks_as_good(run_verb, clip_folder, tmp_path, kind):
    target = tmp_path / "store"
    code, out, error = run_verb("build-store", clip_folder, target, "--to", kind, "--workers", "1", "--json")
    assert code == 0, error
    assert json.loads(out)["num_written"] == 3
    (report,) = tmp_path.glob("store*.json")
    assert json.loads(report.read_text())["failed"] == {}
    assert run_verb("check", target, "--output", tmp_path / "check", "--workers", "1")[0] == 0


def test_a_medium_that_cannot_be_re_encoded_ends_with_1(run_verb, tmp_path, clip_folder):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes((clip_folder / "a.mp4").read_bytes())
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"no video" * 50)
    words = (tmp_path / "videos", tmp_path / "store", "--to", "folder", "--reencode", "--workers", "1")
    code, _, error = run_verb("build-store", *words)
    assert code == 1 and "failed: bad: " in error
