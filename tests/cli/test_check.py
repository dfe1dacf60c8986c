"""``clipbert check`` ends with 0 where all media are good, else with 1."""

import json
import shutil

from clipbert_mmf.cli.main import main


def test_good_and_bad_media_decide_the_exit_status(short_videos, tmp_path):
    store, output = tmp_path / "store", tmp_path / "check"
    store.mkdir()
    shutil.copy(short_videos / "a.mp4", store)
    arguments = ["check", str(store), "--output", str(output), "--workers", "1"]
    assert main(arguments) == 0
    (store / "broken.mp4").write_bytes(b"no video")
    assert main(arguments) == 1
    assert json.loads((output / "report.json").read_text())["num_bad"] == 1
