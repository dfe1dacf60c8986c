"""A run with a network of timm as its backbone: trained by MMF, converted, asked on the command line, resumed."""

import subprocess
import sys

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from tests.e2e.running import ROOT, demo_options, make_environment, read_metrics, run_mmf

pytest.importorskip("timm")

OPTIONS = [
    "model_config.clipbert.backbone.type=timm",
    "model_config.clipbert.backbone.name=test_efficientnet.r160_in1k",
    # Sizes of the grid_resnet that the demo recipe sets.
    "model_config.clipbert.backbone.depth=null",
    "model_config.clipbert.backbone.width=null",
    "model_config.clipbert.backbone.out_stage=res4",
    "model_config.clipbert.learning_rate_factors.backbone=0.5",
    "model_config.clipbert.activation_checkpointing=true",
]


def run_verb(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "clipbert_mmf.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=make_environment(),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_with_a_backbone_of_timm_is_trained_converted_and_asked(corpus, tmp_path):
    run = tmp_path / "run"
    run_mmf(demo_options(corpus, "msrvtt_retrieval", run, "run_type=train_val_test", *OPTIONS))
    assert "clipbert_retrieval/t2v_r1" in read_metrics(run, "test")
    model = ClipBert.from_pretrained(run)
    assert model.network.backbone.out_channels == model.network.grid_encoder.conv.in_channels
    converted = tmp_path / "converted"
    run_verb("convert", "--model", run, "--out", converted)
    again = ClipBert.from_pretrained(converted)
    state = again.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.network.state_dict().items())
    video = sorted((corpus / "msrvtt" / "videos").iterdir())[0]
    assert "%" in run_verb("score", "--model", converted, video, "a red circle", "two dogs")
    assert "our own checkpoint" in run_verb("inspect", run / "best.ckpt")
    second = tmp_path / "second"
    weights = f"model_config.clipbert.weights.clipbert={converted}"
    run_mmf(demo_options(corpus, "msrvtt_retrieval", second, "run_type=train", weights, *OPTIONS))
