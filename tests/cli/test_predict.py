"""``clipbert predict`` gives predictions whose metrics are those of the run's own test."""

import json

import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.cli.predict import make_options
from tests.e2e.running import demo_options, read_metrics, run_mmf
from tests.inference.small_run import make_run


@pytest.fixture(scope="module")
def run_dir(corpus, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("retrieval") / "run"
    run_mmf(demo_options(corpus, "msrvtt_retrieval", save_dir, "run_type=train_val_test"))
    return save_dir


def test_predictions_of_a_run_give_its_own_metrics(run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["predict", str(run_dir), "--json", "training.batch_size=3"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["predictions"]
    assert main(["evaluate", file, "--json"]) == 0
    found, expected = json.loads(capsys.readouterr().out), read_metrics(run_dir, "test")
    shared = {key for key in found if key in expected}
    assert len(shared) > 5 and {key: found[key] for key in shared} == pytest.approx(
        {key: expected[key] for key in shared}, rel=1e-6
    )


def test_a_run_that_cannot_be_predicted_is_named(tmp_path, tokenizer_dir, capsys):
    make_run(tmp_path / "run", tokenizer_dir)
    assert main(["predict", str(tmp_path / "run"), "--dataset", "msrvtt_qa"]) == 1
    assert "has no dataset 'msrvtt_qa'; it has ['msrvtt_retrieval']" in capsys.readouterr().err
    config = tmp_path / "run" / "config.yaml"
    config.write_text(
        config.read_text().replace("model: clipbert\nmodel_config", "model: mmbt\nmodel_config")
    )
    assert main(["predict", str(tmp_path / "run")]) == 1
    assert "is of model 'mmbt'; clipbert predict takes runs of model=clipbert" in capsys.readouterr().err


def test_the_command_line_takes_the_checkpoint_and_nothing_it_started_from(tmp_path, tokenizer_dir):
    from clipbert_mmf.cli.main import load_verb

    make_run(tmp_path / "run", tokenizer_dir)
    parser, _ = load_verb("predict")
    options = parser.parse_intermixed_args(
        [str(tmp_path / "run"), "--split", "val", "--data-dir", str(tmp_path), "training.batch_size=2"]
    )
    words = make_options(options, tmp_path / "out")
    assert f"model_config.clipbert.weights.clipbert={tmp_path / 'run' / 'best.ckpt'}" in words
    assert {"run_type=val", "model_config.clipbert.weights.backbone=null", "training.batch_size=2"} <= {
        *words
    }
    assert f"dataset_config.msrvtt_retrieval.data_dir={tmp_path}" in words
