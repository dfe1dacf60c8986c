"""A model trained and evaluated by MMF, converted and used without it, gives MMF's own metrics."""

import subprocess
import sys

import pytest
import torch

from clipbert_mmf.annotations import read_annotations
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.video.stores.open import open_store
from tests.e2e.running import demo_options, read_metrics, run_mmf


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("retrieval")
    run_mmf(demo_options(corpus, "msrvtt_retrieval", save_dir, "run_type=train_val_test"))
    return save_dir


@pytest.fixture(scope="module")
def converted(run):
    out = run / "converted"
    tool = [sys.executable, "-m", "clipbert_mmf.cli.main", "convert", "--model", str(run), "--out", str(out)]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {out}\n"
    assert subprocess.run(tool, capture_output=True, text=True, timeout=120).returncode == 1
    return out


def test_the_converted_model_has_the_final_weights(run, converted):
    state = torch.load(run / "clipbert_final.pth", weights_only=True)
    model = ClipBert.from_pretrained(converted)
    assert all(
        torch.equal(value, state[f"network.{name}"]) for name, value in model.network.state_dict().items()
    )


def test_its_ranks_on_the_test_videos_are_those_of_mmfs_evaluation(run, converted, corpus):
    model = ClipBert.from_pretrained(converted)
    records = list(read_annotations(corpus / "msrvtt" / "MSRVTT_JSFUSION_test.csv", "msrvtt"))
    store = open_store(str(corpus / "msrvtt" / "videos"))
    frames = torch.stack([model.preprocessing.read(store.read(record.media_key)) for record in records])
    scores = model.score_frames(frames, [record.text for record in records])
    match = (scores[..., 1] - scores[..., 0]).double()
    own = match.diagonal()
    ranks = 1 + (match > own[None]).sum(0) + ((match == own[None]).sum(0) - 1)
    metrics = read_metrics(run, "test")
    assert ranks.double().mean().item() == pytest.approx(
        metrics["clipbert_retrieval/t2v_mean_rank"], abs=1e-5
    )
    assert (ranks == 1).double().mean().item() == pytest.approx(
        metrics["clipbert_retrieval/t2v_r1"], abs=1e-5
    )


def test_the_card_names_the_runs_metrics(run, converted):
    card = (converted / "README.md").read_text()
    assert (
        f"| clipbert_retrieval/t2v_mean_rank | "
        f"{read_metrics(run, 'test')['clipbert_retrieval/t2v_mean_rank']:.4g} |" in card
    )
    assert str(run) not in card


def test_it_starts_another_run_as_weights_of_a_transformer_and_a_backbone(corpus, converted, tmp_path):
    output = run_mmf(
        demo_options(
            corpus,
            "msrvtt_retrieval",
            tmp_path,
            "run_type=train",
            f"model_config.clipbert.weights.transformer={converted}",
            f"model_config.clipbert.weights.backbone={converted}",
        )
    )
    assert "weights.transformer from" in output and "weights.backbone from" in output
    assert (tmp_path / "weights_report.json").is_file()
