"""Weights & Biases get the same numbers and checkpoints of a run from both MMFs, without network."""

import os
import re

import pytest

from clipbert_mmf.host.mmf_version import mmf_version
from tests.e2e.running import run_plan
from tests.e2e.small_tasks import make_corpora, task_options

pytest.importorskip("wandb")

LOGGED = ["training.wandb.enabled=true", "training.wandb.project=clips", "training.wandb.log_checkpoint=true"]
RUNS = ("clipbert", "own") if mmf_version() == "main" else ("clipbert",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run for each name of ``RUNS``."""
    folder = tmp_path_factory.mktemp("wandb")
    corpora = make_corpora(folder / "corpora", "msrvtt")
    plan = {name: [*LOGGED, "run_type=train_test", "training.max_updates=2"] for name in RUNS}
    if "own" in plan:
        plan["own"].append("training.trainer=mmf")
    plan = {
        name: task_options(corpora, "msrvtt_retrieval", folder / name, *options)
        for name, options in plan.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        codes = run_plan("tasks_program.py", plan, folder)
    for name, code in codes.items():
        assert code == 0, (folder / f"plan.json.{name}.log").read_text()[-4000:]
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_numbers_and_checkpoints_of_a_run_are_logged_beside_it(folder, name):
    (place,) = (folder / name / "wandb").glob("offline-run-*")
    (file,) = place.glob("run-*.wandb")
    identity = re.fullmatch(r"run-(\w+)\.wandb", file.name)[1]
    logged = file.read_bytes()
    for text in (
        "train/msrvtt_retrieval/clipbert_match",
        "val/msrvtt_retrieval/clipbert_retrieval/t2v_r1",
        "test/msrvtt_retrieval/clipbert_retrieval/t2v_r1",
        "trainer/global_step",
        "negatives_per_positive",
        "clips",
        f"run_{identity}_model",
        "current.pt",
    ):
        assert text.encode() in logged, text
    assert not os.path.exists("wandb")
