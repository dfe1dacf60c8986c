"""Options refuse what contradicts itself, and every key they hold is in the reference of the configuration."""

import dataclasses
import re
from pathlib import Path

import pytest

from clipbert_mmf.training.options import (
    SECTIONS,
    CheckpointOptions,
    LoopOptions,
    ParallelOptions,
    WandbOptions,
    WorkerOptions,
)

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: LoopOptions(fp16=True, precision="bf16"),
            "training.fp16=true contradicts training.precision=bf16",
        ),
        (lambda: WorkerOptions(prefetch_factor=0), "training.prefetch_factor is 0; expected at least 1"),
        (
            lambda: WorkerOptions(worker_timeout_sec=-1.0),
            "training.worker_timeout_sec is -1; expected at least 0",
        ),
        (
            lambda: ParallelOptions(sharding="full", static_graph=True),
            "full needs neither .* nor training.static_graph",
        ),
        (
            lambda: WandbOptions(log_checkpoint=True),
            "training.wandb.log_checkpoint=true needs training.wandb.enabled=true",
        ),
        (
            lambda: CheckpointOptions(zoo_config_override=True),
            "checkpoint.zoo_config_override=true replaces the model after its optimizer was made",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_weights_and_biases_need_their_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match="training.wandb.enabled=true needs the package wandb; run 'pip install wandb'"
    ):
        WandbOptions(enabled=True)


def test_mmfs_switch_alone_means_half_precision_and_a_limit_alone_does_not_clip():
    assert LoopOptions(fp16=True).precision_name == "fp16" and LoopOptions().precision_name == "fp32"
    assert LoopOptions(max_grad_l2_norm=1.0).gradient_limit is None
    assert LoopOptions(max_grad_l2_norm=1.0, clip_gradients=True).gradient_limit == 1.0


def test_every_key_the_trainer_reads_is_in_the_reference():
    documented = set(re.findall(r"^\| `([^`]+)` \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE))
    read = {
        f"{section}.{field.name}"
        for section, classes in SECTIONS.items()
        for cls in classes
        for field in dataclasses.fields(cls)
        if f"{section}.{field.name}" not in SECTIONS
    }
    assert read - documented == set()
