"""MMF's own trainers on each task: metrics and predictions are those of ``training.trainer=clipbert``."""

import json
import math

import pytest
import torch

from clipbert_mmf.host.mmf_version import mmf_version
from clipbert_mmf.plugin.model import ClipBertModel
from clipbert_mmf.weights.files import read_weights
from tests.e2e.running import run_plan
from tests.e2e.small_tasks import DATASETS, make_corpora, read_predictions, task_options

OWN_TRAINER = {"release": "base_trainer", "main": "mmf"}[mmf_version()]


@pytest.fixture(scope="module", params=DATASETS)
def runs(request, tmp_path_factory):
    """Return name, folder and exit codes of the runs on one dataset.

    ``plan.json.<run>.log`` is what each printed.
    """
    dataset = request.param
    folder = tmp_path_factory.mktemp(dataset)
    corpora = make_corpora(folder / "corpora", DATASETS[dataset])
    weights, own_weights = (
        f"model_config.clipbert.weights.clipbert={folder / name / 'clipbert_final.pth'}"
        for name in ("clipbert", "own")
    )
    own = f"training.trainer={OWN_TRAINER}"
    plan = {
        "clipbert": ["run_type=train_val_test", "training.max_updates=1"],
        "clipbert.predicted": ["run_type=test", weights],
        "own": ["run_type=train_val_test", own, "training.max_updates=2"],
        "own.tested": ["run_type=val_test", own, weights],
        "clipbert.tested": ["run_type=val_test", own_weights],
        "own.predicted": ["run_type=test", own, weights],
    }
    if dataset == "msrvtt_retrieval":
        plan["own.written"] = ["run_type=test", own, weights, "evaluation.predict=true"]
        plan["own"].append("training.tensorboard=true")
        zoo = ["run_type=test", f"env.model_zoo={write_zoo(folder)}", "checkpoint.resume_zoo=clipbert.mine"]
        plan["clipbert.zoo"], plan["own.zoo"] = zoo, [*zoo, own, f"env.data_dir={folder / 'own_data'}"]
        plan["clipbert.zoo"].append(f"env.data_dir={folder / 'data'}")
        plan["own.resumed"] = [
            "run_type=train_val",
            own,
            f"checkpoint.resume_file={folder / 'own' / 'current.ckpt'}",
            "optimizer.params.lr=0.002",
        ]
        plan["old"] = [own, "training.early_stop.criteria=val/msrvtt_retrieval/clipbert_t2v_r1"]
    # Batches of 3 leave a last one that is smaller.
    plan = {
        name: task_options(corpora, dataset, folder / name, "training.batch_size=3", *options)
        for name, options in plan.items()
    }
    return dataset, folder, run_plan("tasks_program.py", plan, folder)


def write_zoo(folder):
    """Write a model zoo whose one entry is the run ``clipbert``; return its file."""
    resources = "".join(
        f"    - url: file://{folder / 'clipbert' / name}\n      file_name: {name}\n      compressed: false\n"
        for name in ("clipbert_final.pth", "config.yaml")
    )
    file = folder / "zoo.yaml"
    file.write_text(f"clipbert:\n  mine:\n    version: '1'\n    resources:\n{resources}")
    return file


def read_log(runs, name):
    """Return what a run printed, which must have succeeded."""
    _, folder, codes = runs
    log = (folder / f"plan.json.{name}.log").read_text()
    assert codes[name] == 0, log[-3000:]
    return log


def read_kept(runs, name):
    """Return the numbers that MMF keeps of the last evaluation of each split."""
    read_log(runs, name)
    return json.loads((runs[1] / f"plan.json.{name}.metrics").read_text())


@pytest.mark.parametrize("checkpoint, tested", [("clipbert", "own.tested"), ("own", "clipbert.tested")])
def test_both_trainers_give_a_checkpoint_the_same_numbers_by_the_same_names(runs, checkpoint, tested):
    dataset, _, _ = runs
    found, expected = read_kept(runs, tested), read_kept(runs, checkpoint)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    for split in ("val", "test"):
        prefix = f"{split}/{dataset}/"
        names = [name.removeprefix(prefix) for name in found if name.startswith(prefix)]
        assert len(names) >= 5 and len({name.split("/")[0] for name in names}) == 1


def test_mmfs_own_trainer_trains_and_keeps_the_weights(runs):
    read_log(runs, "own")
    assert all(math.isfinite(value) for value in read_kept(runs, "own").values())
    files = {path.name for path in (runs[1] / "own").iterdir()}
    assert {"best.ckpt", "current.ckpt", "clipbert_final.pth", "config.yaml"} <= files


def test_mmfs_from_pretrained_loads_the_folder_and_each_file(runs):
    read_log(runs, "clipbert")
    folder = runs[1] / "clipbert"
    expected = read_weights(folder / "clipbert_final.pth").tensors
    for place in (folder, *(folder / name for name in ("best.ckpt", "current.ckpt", "clipbert_final.pth"))):
        found = ClipBertModel.from_pretrained(str(place)).state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["own.predicted", "own.written"])
def test_mmfs_own_trainer_writes_the_same_predictions(runs, name):
    dataset, folder, codes = runs
    if name not in codes:
        pytest.skip("mmf_predict sets the same option")
    for run in ("clipbert.predicted", name):
        read_log(runs, run)
    expected, found = (read_predictions(folder / run, dataset) for run in ("clipbert.predicted", name))
    # Numbers differ by rounding: MMF's trainer forms other batches.
    numbers = {"clips", "answers", "texts", "scores", "match_probability"}
    assert [set(record) for record in found] == [set(record) for record in expected]
    for ours, theirs in zip(expected, found, strict=True):
        for key in ours.keys() - numbers:
            assert ours[key] == theirs[key]
        for ours_clip, theirs_clip in zip(ours["clips"], theirs["clips"], strict=True):
            assert theirs_clip["scores"] == pytest.approx(ours_clip["scores"], abs=1e-4)


@pytest.mark.parametrize("runs", ["msrvtt_retrieval"], indirect=True)
def test_mmfs_own_early_stopping_log_and_tensorboard_know_the_names(runs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = read_log(runs, "own")
    criterion = "val/msrvtt_retrieval/clipbert_retrieval/t2v_mean_rank"
    assert f"best_{criterion}" in log and "val/msrvtt_retrieval/clipbert_retrieval/v2t_r10" in log
    written = set()
    for file in runs[1].glob("own/**/events.out.tfevents.*"):
        events = EventAccumulator(str(file))
        events.Reload()
        written |= set(events.Tags()["scalars"])
    assert criterion in written


@pytest.mark.parametrize("runs", ["msrvtt_retrieval"], indirect=True)
@pytest.mark.parametrize("name", ["clipbert.zoo", "own.zoo"])
def test_an_entry_of_the_model_zoo_is_tested(runs, name):
    expected = {key: value for key, value in read_kept(runs, "clipbert").items() if key.startswith("test/")}
    assert read_kept(runs, name) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("runs", ["msrvtt_retrieval"], indirect=True)
def test_mmfs_own_trainer_resumes_with_the_learning_rate_that_is_set(runs):
    log = read_log(runs, "own.resumed")
    assert "optimizer group 0: lr 0.001 -> 0.002" in log


@pytest.mark.parametrize("runs", ["msrvtt_retrieval"], indirect=True)
def test_a_name_of_version_0_1_stops_the_run_with_the_new_one(runs):
    _, folder, codes = runs
    log = (folder / "plan.json.old.log").read_text()
    assert codes["old"] != 0
    assert "write 'val/msrvtt_retrieval/clipbert_retrieval/t2v_r1'" in log, log[-3000:]
