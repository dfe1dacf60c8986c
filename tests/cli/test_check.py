"""``clipbert check``: exit code 0 if all media can be read, 1 with their reasons if some cannot."""

import json
import shutil


def read_report(folder):
    return json.loads((folder / "report.json").read_text())


def test_good_videos_end_with_0_and_a_report(run_verb, clip_folder, tmp_path):
    code, out, _ = run_verb("check", clip_folder, "--output", tmp_path / "check", "--workers", "1")
    assert code == 0 and f"0 of 3 media are bad; see {tmp_path / 'check'}" in out
    assert read_report(tmp_path / "check")
    code, out, _ = run_verb("check", clip_folder, "--output", tmp_path / "check", "--workers", "1", "--json")
    assert json.loads(out) == {"num_media": 3, "num_bad": 0, "output": str(tmp_path / "check")}


def test_a_truncated_video_ends_with_1_and_its_reason(run_verb, clip_folder, tmp_path):
    shutil.copytree(clip_folder, tmp_path / "videos")
    file = tmp_path / "videos" / "b.mp4"
    file.write_bytes(file.read_bytes()[:300])
    code, out, error = run_verb(
        "check", tmp_path / "videos", "--output", tmp_path / "check", "--workers", "1"
    )
    assert code == 1 and "1 of 3 media are bad" in out
    assert "b: " in out + error and "TruncatedMediaError: cut short" in out + error


def test_a_store_that_is_not_there_is_one_line(run_verb, tmp_path):
    code, _, error = run_verb("check", tmp_path / "none", "--output", tmp_path / "check", "--workers", "1")
    assert code == 1 and "nothing is there; expected a folder of files, an LMDB, tar shards" in error
    assert len(error.splitlines()) == 1
