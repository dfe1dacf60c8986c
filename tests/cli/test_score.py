"""``clipbert score`` prints every text with its probability, the best first."""

import json

from clipbert_mmf.cli.main import main

TEXTS = ["a red circle", "two dogs near a man with a square", "blue"]


def test_texts_are_sorted_by_probability(small_run, short_videos, capsys):
    arguments = ["score", "--model", str(small_run), str(short_videos / "a.mp4"), *TEXTS]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split("%")[1].strip() for line in lines) == sorted(TEXTS)
    shares = [float(line.split("%")[0]) for line in lines]
    assert shares == sorted(shares, reverse=True)
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["texts"] == TEXTS and len(found["probabilities"]) == len(found["scores"]) == 3
    assert len(found["clips"]) == 3


def test_a_missing_video_is_one_line(small_run, capsys):
    assert main(["score", "--model", str(small_run), "nowhere.mp4", "a"]) == 1
    assert capsys.readouterr().err == "clipbert score: 'nowhere.mp4': no file nowhere.mp4\n"
