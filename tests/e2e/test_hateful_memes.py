"""ClipBERT on a dataset of MMF's own, with MMF's text and image processors and metrics.

Hateful Memes' files.
"""

import csv
import json
import subprocess
import sys

import pytest

from tests.e2e.running import ROOT, SMALL, read_metrics, run_plan

#: Of an image processor that normalises, as MMF's default does.
MEAN, STD = [0.46777044, 0.44531429, 0.40661017], [0.12221994, 0.12145835, 0.14380469]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Exit codes, and the folder that holds one folder per run."""
    folder = tmp_path_factory.mktemp("memes")
    subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools/make_demo_corpus.py"),
            "--out",
            str(folder / "data"),
            "--corpora",
            "hateful_memes",
            "--num-images",
            "40",
            "--workers",
            "1",
        ],
        check=True,
        capture_output=True,
        timeout=240,
    )
    common = [
        "config=projects/clipbert/configs/hateful_memes/demo.yaml",
        "model=clipbert",
        "dataset=hateful_memes",
        f"env.data_dir={folder / 'data' / 'hateful_memes'}",
        "dataset_config.hateful_memes.processors.text_processor.params.tokenizer_config.type="
        f"{folder / 'data/tokenizer'}",
        *SMALL,
    ]
    plan = {
        "bytes": [*common, f"env.save_dir={folder / 'bytes'}", "run_type=train_val_test"],
        "predicted": [
            *common,
            f"env.save_dir={folder / 'predicted'}",
            "run_type=test",
            "evaluation.predict=true",
            f"env.report_dir={folder / 'predicted'}",
            f"model_config.clipbert.weights.clipbert={folder / 'bytes' / 'clipbert_final.pth'}",
        ],
    }
    # The same pictures through MMF's usual transforms, whose normalisation is undone.
    normalised = folder / "normalised.yaml"
    normalised.write_text(
        json.dumps(
            {
                "includes": [str(ROOT / "projects/clipbert/configs/hateful_memes/demo.yaml")],
                "model_config": {"clipbert": {"image_normalization": {"mean": MEAN, "std": STD}}},
                "dataset_config": {
                    "hateful_memes": {
                        "processors": {
                            "image_processor": {
                                "params": {
                                    "transforms": [
                                        {"type": "Resize", "params": {"size": [64, 64]}},
                                        "ToTensor",
                                        "GrayScaleTo3Channels",
                                        {"type": "Normalize", "params": {"mean": MEAN, "std": STD}},
                                    ]
                                }
                            }
                        }
                    }
                },
            }
        )
    )
    plan["normalised"] = [f"config={normalised}", *plan["bytes"][1:]]
    plan["normalised"][plan["normalised"].index(f"env.save_dir={folder / 'bytes'}")] = (
        f"env.save_dir={folder / 'normalised'}"
    )
    for name, code in run_plan("tasks_program.py", plan, folder).items():
        assert code == 0, (folder / f"plan.json.{name}.log").read_text()[-4000:]
    return folder


@pytest.mark.parametrize("name", ["bytes", "normalised"])
def test_it_trains_and_is_measured_by_mmfs_metrics(runs, name):
    for split in ("val", "test"):
        metrics = read_metrics(runs / name, split)
        assert set(metrics) == {"accuracy", "roc_auc"} and all(0 <= value <= 1 for value in metrics.values())


def test_normalised_images_are_seen_as_the_bytes_they_were(runs):
    assert read_metrics(runs / "normalised", "test") == pytest.approx(
        read_metrics(runs / "bytes", "test"), abs=1e-6
    )


def test_predictions_are_what_mmf_writes_for_the_dataset(runs):
    (file,) = (runs / "predicted").glob("hateful_memes_run_test_*.csv")
    rows = list(csv.DictReader(file.open()))
    lines = (
        (runs / "data/hateful_memes/datasets/hateful_memes/defaults/annotations/test.jsonl")
        .read_text()
        .splitlines()
    )
    right = {entry["id"]: entry["label"] for entry in map(json.loads, lines)}
    assert [int(row["id"]) for row in rows] == list(right)
    share = sum(int(row["label"]) == right[int(row["id"])] for row in rows) / len(rows)
    assert share == pytest.approx(read_metrics(runs / "bytes", "test")["accuracy"])
