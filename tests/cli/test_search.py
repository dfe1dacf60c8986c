"""``clipbert search`` prints the best videos of a folder and keeps their encodings."""

import json

from clipbert_mmf.cli.main import main


def test_videos_are_ranked_and_encoded_once(small_run, short_videos, tmp_path, capsys):
    index = tmp_path / "index"
    arguments = [
        "search",
        "--model",
        str(small_run),
        str(short_videos),
        "a red circle",
        "--index",
        str(index),
    ]
    assert main([*arguments, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"] and all(line.endswith(" s") for line in lines)
    assert len(list(index.glob("*.safetensors"))) == 3
    assert main([*arguments, "blue", "--top", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[::2] == ['"a red circle"', '"blue"']


def test_json_has_every_hit_and_no_index_keeps_nothing(small_run, short_videos, capsys):
    arguments = [
        "search",
        "--model",
        str(small_run),
        "--json",
        "--no-index",
        str(short_videos),
        "a red circle",
    ]
    assert main(arguments) == 0
    assert len(json.loads(capsys.readouterr().out)["a red circle"]) == 3
    assert not (short_videos / ".clipbert_index").exists()


def test_a_folder_without_videos_is_named_with_the_endings(small_run, tmp_path, capsys):
    assert main(["search", "--model", str(small_run), str(tmp_path), "a red circle"]) == 1
    assert "holds no videos; looked for " in capsys.readouterr().err
