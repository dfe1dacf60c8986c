"""``clipbert compare``: a real run of two models at toy size."""

import json

import pytest

from clipbert_mmf.cli.compare import find_recipe
from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.settings import RecipeError


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("HF_HUB_OFFLINE", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        monkeypatch.setenv(name, value)


def test_two_models_are_trained_measured_and_not_trained_again(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save = tmp_path / "save"
    arguments = ["compare", "--data", str(corpus), "--save", str(save), "--updates", "2"]
    arguments += ["clipbert:msrvtt_qa", "unimodal_text:msrvtt_qa"]
    arguments += ["training.num_workers=0", "training.log_interval=1"]
    assert main(arguments) == 0
    output, rows = capsys.readouterr().out, json.loads((save / "results.json").read_text())
    assert [row["model"] for row in rows] == ["clipbert", "unimodal_text"]
    for row in rows:
        assert 0 <= row["accuracy"] <= 1 and 0 < row["chance"] < 0.5 and row["updates"] == 2
        assert row["step_seconds"] > 0 and row["max_memory_mib"] > 100 and row["parameters"] > 1e5
        assert row["accuracy_interval"][0] <= row["accuracy"] <= row["accuracy_interval"][1]
    difference = rows[1]["difference"]
    assert rows[0]["difference"] is None and difference["problem"] == ""
    assert difference["value"] == pytest.approx(rows[1]["accuracy"] - rows[0]["accuracy"], abs=1e-6)
    assert rows[0]["chance"] == rows[1]["chance"] and rows[0]["parameters"] != rows[1]["parameters"]
    assert "| `unimodal_text` | `msrvtt_qa` |" in output and (save / "compare.png").stat().st_size > 5000
    before = {path: path.stat().st_mtime_ns for path in save.glob("*/result.json")}
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert len(before) == 2 and all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_failed_run_is_one_line_with_its_log(corpus, tmp_path, capsys):
    arguments = ["compare", "--data", str(corpus), "--save", str(tmp_path), "--updates", "2"]
    assert main([*arguments, "clipbert:msrvtt_qa", "model_config.clipbert.fold=nothing"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("clipbert compare: mmf_run failed with exit code 1: ")
    assert "nothing" in error and str(tmp_path / "clipbert_msrvtt_qa_1.log") in error


def test_a_budget_is_needed(capsys):
    assert main(["compare"]) == 1
    assert "give the budget as --updates or as --seconds" in capsys.readouterr().err


def test_a_model_without_a_recipe_is_named():
    assert find_recipe("mmbt", "vqa2_pixels", "demo").name == "demo_vqa2_pixels.yaml"
    assert find_recipe("mmbt", "vqa2_pixels", "real").name == "mmbt_vqa2_pixels.yaml"
    with pytest.raises(RecipeError, match="visual_bert on msrvtt_qa: .* has no recipe for it"):
        find_recipe("visual_bert", "msrvtt_qa", "demo")
