"""``clipbert reproduce``: what is missing is told, and a row's run ends with paper against ours."""

import json
import shlex

import pytest
import torch

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.paths import config_dir
from clipbert_mmf.report.reproduction import load_reproduction
from tests.network_settings import small_config

SECTION = "dataset_config.msrvtt_retrieval"


def read_tiny():
    return read_yaml(config_dir() / "models" / "clipbert" / "tiny.yaml")["model_config"]["clipbert"]


def list_options(values, prefix):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from list_options(value, f"{prefix}.{key}")
        elif value is not None:
            yield f"{prefix}.{key}={json.dumps(value)}"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "pretrained.pth"
    torch.save(build_network(small_config()).state_dict(), path)
    return path


def test_a_dry_run_prints_the_plan_and_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "msrvtt_retrieval", "--data", str(tmp_path), "--dry-run"]) == 1
    printed = capsys.readouterr().out
    assert (
        "the paper's R@1: 19.8 % (its text: 3.0 above HERO)" in printed
        and "an estimate for one NVIDIA H100" in printed
    )
    for told in ("MSRVTT_data.json", f"{SECTION}.media.train", "--weights: not given"):
        assert told in printed
    assert not list(tmp_path.iterdir())


def test_a_row_that_lacks_something_does_not_start(tmp_path, capsys, weights):
    words = ["--data", str(tmp_path / "nowhere"), "--weights", str(weights), "--save", str(tmp_path / "run")]
    assert main(["reproduce", "msrvtt_retrieval", *words]) == 1
    assert "nowhere: no such folder" in capsys.readouterr().err
    weights.write_text("no weights")
    assert main(["reproduce", "msrvtt_retrieval", *words, "--dry-run"]) == 1
    assert f"--weights {weights}" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_the_plan_is_the_row_of_the_paper(corpus, weights, capsys):
    words = ["--data", str(corpus / "msrvtt"), "--weights", str(weights), "--dry-run"]
    assert main(["reproduce", "msrvtt_retrieval_8x2", *words, "training.batch_size=32"]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[2])
    place = f"{SECTION}.processors.train_media_processor.params"
    assert command[0] == "mmf_run" and {f"{place}.num_clips=8", f"{place}.num_frames=2"} <= set(command)
    assert command[-1] == "training.batch_size=32" and "run_type=train_val_test" in command
    assert f"model_config.clipbert.weights.clipbert={weights}" in command


def test_a_corpus_that_is_half_there_or_broken_is_told_before_the_run(corpus, tmp_path, weights, capsys):
    words = ["--weights", str(weights), "--dry-run"]
    assert main(["reproduce", "msrvtt_retrieval", "--data", str(corpus / "msrvtt"), *words]) == 0
    assert "train: 80 rows; the owner's has 140,200" in capsys.readouterr().out
    mine = tmp_path / "mine"
    (mine / "videos").mkdir(parents=True)
    names = ("MSRVTT_data.json", "MSRVTT_JSFUSION_test.csv")
    for name in names:
        (mine / name).write_bytes((corpus / "msrvtt" / name).read_bytes())
    (mine / "videos" / "other.mp4").write_bytes(b"")
    assert main(["reproduce", "msrvtt_retrieval", "--data", str(mine), *words]) == 1
    assert "problem: test: 7 of 7 videos are not there (such as " in capsys.readouterr().out
    (mine / names[0]).write_text("{")
    assert main(["reproduce", "msrvtt_retrieval", "--data", str(mine), *words]) == 1
    assert f"problem: {mine / names[0]}" in capsys.readouterr().out


def test_a_row_that_trains_nothing_tests_the_model_of_another(corpus, weights, capsys):
    words = ["--data", str(corpus / "msrvtt"), "--weights", str(weights), "--dry-run", "--json"]
    assert main(["reproduce", "msrvtt_mc_8x2", *words]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert "run_type=test" in plan["command"] and plan["estimated_hours"]["training"] == 0
    assert main(["reproduce", "msrvtt_mc_8x2", *words[:2], "--dry-run"]) == 1
    assert "clipbert reproduce msrvtt_retrieval_8x2" in capsys.readouterr().out


@pytest.mark.timeout(200)
def test_a_row_runs_and_ends_with_paper_against_ours(corpus, tmp_path, capfd, monkeypatch):
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("HF_HUB_OFFLINE", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        monkeypatch.setenv(name, value)
    tiny, start, save = read_tiny(), tmp_path / "start.pth", tmp_path / "run"
    torch.save(build_network(parse_model_config(tiny)).state_dict(), start)
    small = list(list_options(tiny, "model_config.clipbert"))
    for media, clips in (("train", 2), ("eval", 1)):
        params = f"{SECTION}.processors.{media}_media_processor.params"
        small += [f"{params}.image_size=64", f"{params}.num_clips={clips}"]
    small += ["training.max_epochs=null", "training.max_updates=1", "training.evaluation_interval=1"]
    small += ["training.num_workers=0", "training.batch_size=4", "training.precision=fp32"]
    words = ["--data", str(corpus / "msrvtt"), "--weights", str(start), "--save", str(save)]
    words += ["--tokenizer", str(corpus / "tokenizer")]
    assert main(["reproduce", "msrvtt_retrieval", *words, *small]) == 0
    out, err = capfd.readouterr()
    saved = json.loads((save / "reproduction.json").read_text())
    (line,) = [
        line for line in (save / "metrics.jsonl").read_text().splitlines() if '"split": "test"' in line
    ]
    (ours,) = [value for key, value in json.loads(line)["metrics"].items() if key.endswith("/t2v_r1")]
    assert saved["result"]["paper"] == 19.8 and saved["result"]["ours"] == pytest.approx(100 * ours)
    assert f"| 7a | MSRVTT retrieval 4x1 | 19.8 | {100 * ours:.1f} |" in out
    assert f"| with {' '.join(small)} |" in out  # the run is not the paper's, and the table says so
    assert out.strip() == (save / "reproduction.md").read_text().strip() and "an estimate" in err


def test_what_makes_a_row_is_not_set_and_an_earlier_test_is_not_taken_for_this_one(
    corpus, tmp_path, weights, capsys
):
    words = ["--data", str(corpus / "msrvtt"), "--weights", str(weights), "--save", str(tmp_path)]
    assert main(["reproduce", "msrvtt_retrieval", *words, "env.save_dir=elsewhere"]) == 1
    assert "env.save_dir=elsewhere: the row decides it; --save FOLDER" in capsys.readouterr().err
    (tmp_path / "metrics.jsonl").write_text("")
    assert main(["reproduce", "msrvtt_mc_8x2", *words]) == 1
    assert "a test of before is there" in capsys.readouterr().err


def test_every_row_has_a_recipe_and_a_dataset():
    rows = load_reproduction().rows
    assert {row.table for row in rows.values()} == {"7a", "7b", "7c", "8a", "8b", "8c", "9"}
    for row in rows.values():
        assert (config_dir() / "datasets" / row.dataset / "defaults.yaml").is_file()
        assert not row.weights_of or row.weights_of in rows
