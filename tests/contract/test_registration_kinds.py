"""Every kind of thing that a user's package registers works wherever a built-in works.

``own_kinds`` has a head, a backbone, a fold, a decoder, a format, a task and a dataset. A run trains, evaluates
and predicts with all of them through ``mmf_run``; then the verbs of ``clipbert`` and Python use the run.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from clipbert_mmf.annotations import FORMATS, read_annotations
from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.predictions import evaluate_predictions, read_predictions
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.user_packages import import_user_package
from clipbert_mmf.modules.backbones.registry import BACKBONES
from clipbert_mmf.modules.heads import HEADS
from clipbert_mmf.scoring.clips import FOLDS
from clipbert_mmf.tasks import TASKS, datasets
from clipbert_mmf.video.clips import ClipOptions
from clipbert_mmf.video.decode import BACKENDS, read_frames
from tests.e2e.running import ROOT, SMALL, make_environment, read_metrics, run_mmf
from tests.encoded_media import write_video
from tests.own_tables import build_split, write_table

PACKAGE = ROOT / "tests" / "contract" / "own_kinds"
TABLES: dict[str, dict] = {
    "own_head": HEADS,
    "own_backbone": BACKBONES,
    "own_fold": FOLDS,
    "own_backend": BACKENDS,
    "own_format": FORMATS,
    "own_task": TASKS,
    "own_dataset": datasets.SPECS,
}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Each test starts without the package and leaves nothing of it, in MMF's registry neither."""
    monkeypatch.setattr(datasets, "REGISTRATION_LISTENERS", [])
    monkeypatch.delenv("MMF_USER_DIR", raising=False)
    assert not any(name in table for name, table in TABLES.items())
    yield
    forget()


def forget() -> None:
    """Undo the import of the package."""
    sys.modules.pop(PACKAGE.name, None)
    for name, table in TABLES.items():
        table.pop(name, None)


@pytest.fixture(scope="module")
def own_run(tmp_path_factory, tokenizer_dir):
    """The folder of a run with everything in it."""
    data, save = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("save") / "run"
    (data / "videos").mkdir()
    names = [f"clip_{number:02}" for number in range(10)]
    for number, name in enumerate(names):
        write_video(data / "videos" / f"{name}.mp4", 12 + number, fps=6)
    colours = ("red", "green", "blue", "yellow", "black")
    notes = [f"{colour} {shape}" for shape in ("circle", "square") for colour in colours]
    lines = [json.dumps({"film": film, "note": note}) for film, note in zip(names, notes, strict=True)]
    (data / "notes.jsonl").write_text("\n".join(lines) + "\n")
    output = run_mmf(
        [
            f"config={PACKAGE / 'train.yaml'}",
            "dataset=own_dataset",
            "model=clipbert",
            f"env.user_dir={PACKAGE}",
            f"env.save_dir={save}",
            f"env.report_dir={save}",
            f"dataset_config.own_dataset.data_dir={data}",
            f"dataset_config.own_dataset.processors.text_processor.params.tokenizer={tokenizer_dir}",
            "run_type=train_val_test",
            *SMALL,
            "training.num_workers=1",
            "training.precision=fp32",
            "training.max_epochs=null",
        ]
    )
    return save, output, data


def test_mmf_run_trains_evaluates_and_predicts_on_data_workers(own_run):
    save, output, _ = own_run
    assert read_metrics(save, "val")["clipbert_retrieval/num_unreadable"] == 0
    assert "media served by {'own_backend'" in output
    config = yaml.safe_load((save / "config.yaml").read_text())
    assert config["model_config"]["clipbert"]["backbone"]["channels"] == 4
    (file,) = save.glob("own_dataset_*_test_*.json")
    assert {record["task"] for record in json.loads(file.read_text())} == {"own_task"}


@pytest.mark.parametrize("way", ["--user-dir", "MMF_USER_DIR"])
def test_the_verbs_of_clipbert_know_everything(own_run, tmp_path, monkeypatch, capsys, way):
    save, _, data = own_run
    model, video = ["--model", str(save)], str(data / "videos" / "clip_00.mp4")
    assert main(["score", *model, video, "red circle"]) == 1
    assert "If a package of yours registers it" in capsys.readouterr().err
    own = []
    if way == "--user-dir":
        own = ["--user-dir", str(PACKAGE)]
    else:
        monkeypatch.setenv("MMF_USER_DIR", str(PACKAGE))
    (file,) = save.glob("own_dataset_*_test_*.json")
    for words in (
        ["score", *model, video, "red circle", "green square", "--backend", "own_backend"],
        ["answer", *model, video, "what is it", "--options", "red", "green"],
        ["search", *model, "--no-index", str(data / "videos"), "red circle"],
        ["convert", *model, "--out", str(tmp_path / "converted")],
        ["score", "--model", str(tmp_path / "converted"), video, "red circle"],
        ["inspect", str(save / "clipbert_final.pth"), "--config", str(save / "config.yaml")],
        ["evaluate", str(file)],
        ["report", str(save), "--out", str(tmp_path / "report.html")],
    ):
        assert main([*words, *own]) == 0, (words, capsys.readouterr().err)
        assert capsys.readouterr().out
    assert "own_dataset" in (tmp_path / "report.html").read_text()


def test_clipbert_predict_knows_everything(own_run, tmp_path, monkeypatch, capsys):
    save, _, _ = own_run
    for name, value in make_environment().items():
        monkeypatch.setenv(name, value)
    predict = ["predict", str(save), "--out", str(tmp_path), "--user-dir", str(PACKAGE), "--json"]
    assert main([*predict, "training.num_workers=0"]) == 0, capsys.readouterr().err
    (file,) = json.loads(capsys.readouterr().out)["predictions"]
    (ours,) = save.glob("own_dataset_*_test_*.json")
    assert json.loads(Path(file).read_text()) == json.loads(ours.read_text())


def test_python_knows_everything(own_run):
    save, _, data = own_run
    own = import_user_package(PACKAGE)
    model, video = ClipBert.from_pretrained(save, backend="own_backend"), data / "videos" / "clip_00.mp4"
    assert isinstance(model.network.backbone, own.OwnBackbone) and isinstance(model.network.head, own.OwnHead)
    assert len(model.score(video, ["red circle", "green square"]).probabilities) == 2
    frames = read_frames(video, np.array([0.0, 0.5]), backend="own_backend")
    assert torch.equal(frames, torch.full_like(frames, own.GREY))
    clips = model.preprocessing.clips
    assert isinstance(clips, ClipOptions) and clips.backend == "own_backend"
    assert {record.text for record in read_annotations(data / "notes.jsonl", "own_format")} >= {"red circle"}
    records = read_predictions(next(save.glob("own_dataset_*_test_*.json")))
    found = evaluate_predictions(records)
    assert found["clipbert_retrieval/num_items"] == len(records) == 2
    assert datasets.SPECS["own_dataset"].task == "own_task"


def test_a_data_worker_that_is_spawned_imports_the_package_first(tmp_path, tokenizer_dir):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", 8, fps=6)
    write_table(tmp_path / "annotations.csv", "video text split", [["a", "a dog", "test"]])
    dataset = build_split(tmp_path, tokenizer_dir, "test")
    dataset.attach(dataset.maker, TASKS[dataset.task_name], tmp_path, PACKAGE)
    dataset.own_items = import_user_package(PACKAGE).OwnItems  # pickled by name
    pickled = pickle.dumps(dataset)
    forget()
    assert pickle.loads(pickled).own_items is sys.modules[PACKAGE.name].OwnItems
    assert all(name in table for name, table in TABLES.items())
