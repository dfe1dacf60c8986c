"""``clipbert convert`` writes a folder that other verbs take, or weights of the released ClipBERT."""

import json

import torch

from clipbert_mmf.cli.main import main


def test_a_run_becomes_a_folder_that_scores_alike(small_run, short_videos, tmp_path, capsys):
    out = tmp_path / "model"
    assert main(["convert", "--model", str(small_run), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    ask = ["--json", str(short_videos / "a.mp4"), "a red circle"]
    assert main(["score", "--model", str(small_run), *ask]) == 0
    before = json.loads(capsys.readouterr().out)
    assert main(["score", "--model", str(out), *ask]) == 0
    assert json.loads(capsys.readouterr().out) == before


def test_existing_files_stay_unless_they_may_be_replaced(small_run, tmp_path, capsys):
    (tmp_path / "m.pt").write_bytes(b"mine")
    arguments = ["convert", "--model", str(small_run), "--to", "released", "--out", str(tmp_path / "m.pt")]
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err and (tmp_path / "m.pt").read_bytes() == b"mine"
    assert main([*arguments, "--replace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(tmp_path / "m.pt")}
    assert torch.load(tmp_path / "m.pt", weights_only=True)
