"""``clipbert answer`` prints candidates with their probability, or a count."""

import json

from clipbert_mmf.cli.main import main
from tests.inference.small_run import make_run


def test_options_are_ranked_and_the_clearest_clip_is_named(small_run, short_videos, capsys):
    arguments = ["answer", "--model", str(small_run), str(short_videos / "a.mp4"), "what is it"]
    arguments += ["--options", "jumps", "turns"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[-1] for line in lines[:2]} == {"jumps", "turns"}
    assert lines[2].startswith("clearest from ") and lines[2].endswith(" s")
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] in ("jumps", "turns") and lines[0].endswith(found["answer"])


def test_a_count_is_printed_with_its_value(tmp_path, tokenizer_dir, short_videos, capsys):
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "regress"})
    arguments = ["answer", "--model", str(tmp_path / "run"), str(short_videos / "a.mp4"), "how many moves"]
    assert main(arguments) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert int(first.split()[0]) >= 1 and "(before rounding: " in first


def test_a_model_that_chooses_needs_options(small_run, short_videos, capsys):
    assert main(["answer", "--model", str(small_run), str(short_videos / "a.mp4"), "what is it"]) == 1
    assert "give the options" in capsys.readouterr().err
