"""``clipbert train`` goes on from a trained model with a folder of videos, and types nothing of the network again."""

import json
import subprocess
import sys

import pytest
import yaml

from clipbert_mmf.cli.main import main
from tests.e2e.running import read_metrics
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

SHORT = ["training.max_epochs=2", "training.batch_size=4", "training.num_workers=0"]


def write_data(folder, header, rows, videos="videos"):
    (folder / videos).mkdir(parents=True, exist_ok=True)
    for number in range(12):
        write_video(folder / videos / f"v{number}.mp4", 20, fps=10)
    (folder / "notes.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    rows = [f"v{number}.mp4,a red circle {'near a dog ' * number}" for number in range(12)]
    return write_data(tmp_path_factory.mktemp("captioned"), "video,caption", rows)


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("model") / "run"
    make_run(folder, tokenizer_dir)
    return folder


def test_a_model_goes_on_with_a_folder_of_videos(model, captioned, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    save = tmp_path / "mine"
    assert main(["train", "--from", str(model), "--data", str(captioned), "--save", str(save), *SHORT]) == 0
    assert read_metrics(save, "test")["clipbert_retrieval/num_items"] >= 1
    (report,) = json.loads((save / "weights_report.json").read_text())
    assert report["path"].endswith("best.ckpt") and len(report["used"]) > 50
    assert not report["missing"] and not report["left_over"] and not report["wrong_shape"], report
    # MMF's own command needs the run's configuration alone, and takes the weights that the run ended with.
    predict = "import clipbert_mmf\nfrom mmf_cli.predict import predict\npredict()"
    words = [f"config={save / 'config.yaml'}", f"env.report_dir={tmp_path / 'out'}"]
    done = subprocess.run(
        [sys.executable, "-c", predict, *words], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((tmp_path / "out").glob("video_text_csv_run_test_*.json"))) == 1
    (report,) = json.loads(next(save.glob("predict-*/weights_report.json")).read_text())
    assert report["path"] == str(save / "best.ckpt")


def test_questions_are_recognised_and_the_recipe_is_theirs(model, tmp_path, capsys):
    rows = [f"v{number}.mp4,what is it,dog" for number in range(12)]
    data = write_data(tmp_path / "asked", "video,question,answer", rows, videos=".")
    assert main(["train", "--from", str(model), "--data", str(data), "--show", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["includes"][0].endswith("video_text_csv/questions.yaml")
    section = config["dataset_config"]["video_text_csv"]
    assert section["media"] == {"train": ".", "val": ".", "test": "."} and section["file"] == "notes.csv"
    assert "head" not in config["model_config"]["clipbert"]
    trained = yaml.safe_load((model / "config.yaml").read_text())
    assert config["optimizer"] == trained["optimizer"]
    texts = section["processors"]["text_processor"]["params"]
    assert texts["max_length"] == 12 and texts["tokenizer"].startswith("/")


def test_no_more_workers_read_than_there_are_cores(model, captioned, monkeypatch, capsys):
    for num_cores, expected in ((2, 2), (64, 4)):
        monkeypatch.setattr("clipbert_mmf.cli.train.count_cores", lambda number=num_cores: number)
        assert main(["train", "--from", str(model), "--data", str(captioned), "--show", "--json"]) == 0
        config = json.loads(capsys.readouterr().out)["config"]
        assert config["training"] == {"num_workers": expected, "precision": "fp32"}


def test_a_folder_with_a_run_is_refused_before_the_model_is_loaded(model, captioned, monkeypatch, capsys):
    monkeypatch.setattr("clipbert_mmf.cli.train.ClipBert", None)
    assert main(["train", "--from", str(model), "--data", str(captioned), "--save", str(model)]) == 1
    error = capsys.readouterr().err
    assert f"--save={model} holds a run already" in error and "another --save keeps it" in error


def test_what_cannot_be_trained_on_is_named(model, captioned, tmp_path, capsys):
    def fails(*words):
        assert main(["train", "--from", str(model), *map(str, words)]) == 1
        return capsys.readouterr().err

    assert "no such folder" in fails("--data", tmp_path / "none")
    assert "no table there; expected a file *.csv" in fails("--data", captioned / "videos")
    assert "--table other.csv: no such file" in fails("--data", captioned, "--table", "other.csv")
    (tmp_path / "a.csv").write_text("video,text\n")
    (tmp_path / "b.tsv").write_text("video\ttext\n")
    assert "several tables, a.csv, b.tsv; say which: --table a.csv" in fails("--data", tmp_path)
