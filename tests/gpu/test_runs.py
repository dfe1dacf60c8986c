"""MMF's own command line on a card: trains, saves, resumes on the other device, and evaluates as a CPU does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from clipbert_mmf.cli.mmf_process import find_free_port
from clipbert_mmf.host.mmf_version import mmf_version
from tests.e2e.running import ROOT, demo_options, make_environment, read_metrics, start_mmf

OWN_TRAINER = {"release": "base_trainer", "main": "mmf"}[mmf_version()]
DATASET = "msrvtt_retrieval"


@pytest.fixture(scope="module", autouse=True)
def exact_fp32():
    """Keep TF32 out of the processes of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NVIDIA_TF32_OVERRIDE", "0")
        yield


def finish(processes):
    """Wait for runs by name; return what each printed. All of them must succeed."""
    printed = {name: process.communicate(timeout=250)[0] for name, process in processes.items()}
    failed = [f"{name}:\n{printed[name][-3000:]}" for name, p in processes.items() if p.returncode]
    assert not failed, "\n\n".join(failed)
    return printed


def start_all(corpus, folder, plan):
    """Start runs by name, all at once, and wait for them."""
    return finish(
        {
            name: start_mmf(demo_options(corpus, DATASET, folder / name, *options))
            for name, options in plan.items()
        }
    )


@pytest.fixture(scope="module")
def runs(device, corpus, tmp_path_factory):
    """Train on either device in every precision; then test, and resume, on the other one. Return folder and logs."""
    folder = tmp_path_factory.mktemp("gpu_runs")
    on_card, on_cpu = "training.device=cuda", "training.device=cpu"
    numbers = ["training.max_updates=2", "training.evaluation_interval=2", "training.checkpoint_interval=2"]
    train = {
        "card": ["run_type=train_val_test", on_card, *numbers],
        "cpu": ["run_type=train_val", on_cpu, *numbers],
        "bf16": ["run_type=train_val", on_card, "training.precision=bf16"],
        "own": ["run_type=train_val_test", f"training.trainer={OWN_TRAINER}"],
        "pinned": ["run_type=train_val", on_card, "training.pin_memory=true", "training.num_workers=2"],
    }
    if device.type == "cuda":
        train["fp16"] = ["run_type=train_val", on_card, "training.precision=fp16"]
        train["checkpointed"] = [
            "run_type=train_val",
            on_card,
            "model_config.clipbert.activation_checkpointing=true",
        ]
    printed = start_all(corpus, folder, train)
    weights = f"model_config.clipbert.weights.clipbert={folder / 'card' / 'clipbert_final.pth'}"

    def resume(name):
        return f"checkpoint.resume_file={folder / name / 'current.ckpt'}"

    longer = ["training.max_updates=4", "training.evaluation_interval=4", "run_type=train_val"]
    test = {
        "tested_card": ["run_type=test", on_card, weights],
        "tested_cpu": ["run_type=test", on_cpu, weights],
        "card_to_cpu": [resume("card"), on_cpu, *longer],
        "cpu_to_card": [resume("cpu"), on_card, *longer],
        "card_to_card": [resume("card"), on_card, *longer],
    }
    return folder, {**printed, **start_all(corpus, folder, test)}


def read_losses(folder):
    """Return the losses of training by update."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {r["update"]: r["losses"]["train/total_loss"] for r in records if r["split"] == "train"}


def test_a_run_says_where_it_trains_and_logs_its_peak_of_memory(card, runs):
    folder, printed = runs
    assert "fp32 on 1 x cuda:0" in printed["card"] and "fp32 on 1 x cpu" in printed["cpu"]
    lines = (folder / "card" / "metrics.jsonl").read_text().splitlines()
    train = [record for record in map(json.loads, lines) if record["split"] == "train"]
    assert train and all(record["max_memory_mib"] > 0 for record in train)


def test_the_first_loss_is_that_of_a_cpu_in_every_precision(runs):
    folder, _ = runs
    expected = read_losses(folder / "cpu")[1]
    for name in ("card", "bf16", "fp16", "pinned", "checkpointed"):
        if (folder / name).is_dir():
            assert read_losses(folder / name)[1] == pytest.approx(expected, rel=2e-2), name


def test_evaluation_on_a_card_gives_the_numbers_of_a_cpu(runs):
    folder, _ = runs
    found, expected = (read_metrics(folder / name, "test") for name in ("tested_card", "tested_cpu"))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert found == pytest.approx(read_metrics(folder / "card", "test"), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", ["card_to_cpu", "cpu_to_card", "card_to_card"])
def test_a_run_goes_on_on_the_other_device(runs, name):
    folder, _ = runs
    losses = read_losses(folder / name)
    assert set(losses) == {3, 4}
    same = read_losses(folder / "card_to_card")
    assert losses[3] == pytest.approx(same[3], rel=5e-2)


def test_a_checkpoint_of_a_card_is_read_without_one(runs):
    folder, _ = runs
    state = torch.load(folder / "card" / "current.ckpt", weights_only=True, map_location="cpu")
    assert all(value.device.type == "cpu" for value in state["model"].values())
    program = (
        "import torch; from clipbert_mmf.inference.pretrained import ClipBert\n"
        f"print(ClipBert.from_pretrained({str(folder / 'card')!r}).device)"
    )
    environment = make_environment(CUDA_VISIBLE_DEVICES="")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "cpu", done.stderr[-2000:]


def test_mmfs_own_trainer_trains_on_the_card(runs):
    folder, _ = runs
    assert (folder / "own" / "clipbert_final.pth").is_file()


def test_two_processes_share_a_card_by_gloo(device, corpus, tmp_path):
    port = find_free_port()
    options = ["run_type=train_val_test", "distributed.backend=gloo"]
    ranks = {
        rank: start_mmf(demo_options(corpus, DATASET, tmp_path, *options), rank, 2, port) for rank in range(2)
    }
    printed = finish(ranks)
    assert f"on 2 x {device.type}" in printed[0]
    losses = read_losses(tmp_path)
    assert set(losses) == {1, 2, 3} and all(value == value for value in losses.values())


def test_the_command_line_scores_a_run_of_the_card(device, runs, corpus):
    folder, _ = runs
    video = next(iter(sorted((corpus / "msrvtt" / "videos").glob("*"))))
    found = []
    for name in (device.type, "cpu"):
        command = [sys.executable, "-m", "clipbert_mmf.cli.main", "score", "--json", "--device", name]
        command += ["--model", str(folder / "card"), str(video), "a red circle"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=make_environment(), cwd=ROOT, timeout=120
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout)["scores"])
    assert found[0] == pytest.approx(found[1], abs=1e-3)
