"""Models compared on the same data: a real run of two of them at toy size, and what the tool makes of results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from compare_models import COLUMNS, draw, find_recipe, make_table, parse_run, summarize  # noqa: E402
from mmf_runs import count_parameters  # noqa: E402


def compare(corpus, save, *options):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools/compare_models.py"),
            "--data",
            str(corpus),
            "--save",
            str(save),
            "--updates",
            "2",
            "clipbert:msrvtt_qa",
            "unimodal_text:msrvtt_qa",
            *options,
            "training.num_workers=0",
            "training.log_interval=1",
        ],
        capture_output=True,
        text=True,
        timeout=250,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_models_are_trained_measured_and_not_trained_again(corpus, tmp_path):
    output = compare(corpus, tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["model"] for row in rows] == ["clipbert", "unimodal_text"]
    for row in rows:
        assert 0 <= row["accuracy"] <= 1 and 0 < row["chance"] < 0.5 and row["updates"] == 2
        assert row["step_seconds"] > 0 and row["max_memory_mib"] > 100 and row["parameters"] > 1e5
    assert rows[0]["chance"] == rows[1]["chance"] and rows[0]["parameters"] != rows[1]["parameters"]
    assert "| `unimodal_text` | `msrvtt_qa` |" in output and (tmp_path / "compare.png").stat().st_size > 5000
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.json")}
    compare(corpus, tmp_path)
    assert len(before) == 2 and all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_rows_are_means_over_seeds():
    results = [
        {"model": "m", "dataset": "d", "seed": seed, **dict.fromkeys(COLUMNS, 2.0), "accuracy": accuracy}
        for seed, accuracy in ((1, 0.5), (2, 0.7))
    ]
    (row,) = summarize(results)
    assert row["accuracy"] == pytest.approx(0.6) and row["seeds"] == [1, 2]
    assert "| `m` | `d` | 60.0 ± 14.1 | 200.0 |" in make_table([row])


def test_the_picture_has_a_bar_per_model(tmp_path):
    rows = [
        {"model": name, "dataset": "d", **dict.fromkeys(COLUMNS, 1.0), "chance": 0.1}
        for name in ("a", "clipbert")
    ]
    draw(rows, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes()[:4] == b"\x89PNG"


def test_parameters_are_counted_once_without_statistics(tmp_path):
    import torch

    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(3, 4))
    network[2].weight = network[0].weight
    torch.save(network.state_dict(), tmp_path / "m.pth")
    assert count_parameters(tmp_path / "m.pth") == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "text", ["clipbert", "clipbert:nothing", ":msrvtt_qa", "clipbert:coco_vg_pretraining"]
)
def test_what_is_no_run_is_refused_with_what_is_one(text):
    with pytest.raises(ValueError, match="expected MODEL:DATASET with a dataset of"):
        parse_run(text)


def test_a_model_without_a_recipe_is_named():
    assert find_recipe("mmbt", "vqa2_pixels", "demo").name == "demo_vqa2_pixels.yaml"
    assert find_recipe("mmbt", "vqa2_pixels", "real").name == "mmbt_vqa2_pixels.yaml"
    with pytest.raises(SystemExit, match="visual_bert on msrvtt_qa: .* has no recipe for it"):
        find_recipe("visual_bert", "msrvtt_qa", "demo")
