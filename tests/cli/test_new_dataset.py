"""``clipbert new-dataset`` prints the files it wrote and overwrites nothing."""

import json

from clipbert_mmf.cli.main import main


def test_the_files_are_printed(tmp_path, capsys):
    assert main(["new-dataset", "my_clips", "--out", str(tmp_path), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert str(tmp_path / "my_clips" / "configs" / "train.yaml") in written and len(written) == 5
    assert main(["new-dataset", "my_clips", "--out", str(tmp_path)]) == 1
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert main(["new-dataset", "My-Clips", "--out", str(tmp_path)]) == 1
    assert "the dataset's name is 'My-Clips'" in capsys.readouterr().err
