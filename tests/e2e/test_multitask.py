"""One run over several datasets, through MMF's command line.

Own head, losses and metrics each, resumed, predicted.
"""

import json
import subprocess
import sys

import pytest
import torch

from clipbert_mmf.host.mmf_version import mmf_version
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.settings import RecipeError, read_json_lines
from clipbert_mmf.scoring.metrics import split_metric_name
from tests.e2e.running import run_mmf, run_plan

DATASETS = ("msrvtt_retrieval", "msrvtt_qa", "msrvtt_mc")
OWN_TRAINER = {"release": "base_trainer", "main": "mmf"}[mmf_version()]


def make_options(corpus, save_dir, *options):
    sections = [
        option
        for name in DATASETS
        for option in (
            f"dataset_config.{name}.data_dir={corpus / 'msrvtt'}",
            f"dataset_config.{name}.processors.text_processor.params.tokenizer={corpus / 'tokenizer'}",
        )
    ]
    return [
        "config=projects/clipbert/configs/multitask/demo.yaml",
        "model=clipbert",
        f"dataset={','.join(DATASETS)}",
        *sections,
        f"env.save_dir={save_dir}",
        "training.max_updates=6",
        "training.log_interval=1",
        "training.evaluation_interval=3",
        "training.num_workers=0",
        "training.batch_size=4",
        # So that a batch cut in two has the mean of its halves.
        "model_config.clipbert.backbone.norm=group",
        "dataset_config.msrvtt_qa.texts_per_item.train=1",
        *options,
    ]


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """The folder that holds one folder per run."""
    folder = tmp_path_factory.mktemp("multitask")
    whole = folder / "whole"
    plan = {
        "whole": make_options(corpus, whole, "run_type=train_val_test", "checkpoint.max_to_keep=-1"),
        "resumed": make_options(
            corpus,
            folder / "resumed",
            "run_type=train_val_test",
            f"checkpoint.resume_file={whole / 'models/model_3.ckpt'}",
        ),
        "predicted": make_options(
            corpus,
            folder / "predicted",
            "run_type=test",
            "evaluation.predict=true",
            f"env.report_dir={folder / 'predicted'}",
            f"checkpoint.resume_file={whole / 'clipbert_final.pth'}",
            "checkpoint.resume_pretrained=true",
        ),
    }
    weights = f"model_config.clipbert.weights.clipbert={whole / 'clipbert_final.pth'}"
    own = f"training.trainer={OWN_TRAINER}"
    plan["own.tested"] = make_options(corpus, folder / "own.tested", own, weights, "run_type=val_test")
    plan["own.predicted"] = make_options(
        corpus,
        folder / "own.predicted",
        own,
        weights,
        "run_type=test",
        f"env.report_dir={folder / 'own.predicted'}",
    )
    if OWN_TRAINER == "mmf":
        plan["own"] = make_options(corpus, folder / "own", own, "run_type=train_val_test")
    codes = run_plan("tasks_program.py", plan, folder)
    for name, code in codes.items():
        is_refused = name == "own.tested" and OWN_TRAINER == "base_trainer"
        assert (code != 0) == is_refused, (folder / f"plan.json.{name}.log").read_text()[-4000:]
    return folder


def read_numbers(file):
    return json.loads(file.read_text())


@pytest.mark.skipif(OWN_TRAINER == "mmf", reason="main can")
def test_mmfs_release_says_that_it_cannot_measure_several(runs):
    log = (runs / "plan.json.own.tested.log").read_text()
    assert "several datasets: it measures all of them as if they were one" in log
    assert "Write training.trainer=clipbert" in log


@pytest.mark.skipif(OWN_TRAINER == "base_trainer", reason="the release cannot")
def test_mmfs_own_trainer_trains_on_several_and_gives_each_the_same_numbers(runs):
    expected = {
        name: value
        for split in ("val", "test")
        for name, value in records_of(runs / "whole", split, final=True)[0]["metrics"].items()
    }
    assert read_numbers(runs / "plan.json.own.tested.metrics") == pytest.approx(expected, rel=1e-5, abs=1e-7)
    trained = read_numbers(runs / "plan.json.own.metrics")
    assert trained.keys() == expected.keys() and (runs / "own" / "clipbert_final.pth").is_file()


@pytest.mark.parametrize("dataset", DATASETS)
def test_mmfs_own_trainer_predicts_several(runs, dataset):
    expected, found = (
        [(record["item"], record["media_id"]) for record in read_numbers(file)]
        for folder in ("predicted", "own.predicted")
        for file in (runs / folder).glob(f"{dataset}_run_test_*.json")
    )
    assert found == expected and found


def records_of(folder, split, **having):
    return [
        r
        for r in read_json_lines(folder / "metrics.jsonl")
        if r["split"] == split and all(r.get(key) == value for key, value in having.items())
    ]


def losses_by_update(folder):
    return {record["update"]: record["losses"] for record in records_of(folder, "train")}


def test_a_loss_is_measured_for_its_datasets_only(runs):
    names = {name for losses in losses_by_update(runs / "whole").values() for name in losses}
    assert names == {
        "train/msrvtt_retrieval/clipbert_match",
        "train/msrvtt_qa/clipbert_answer_ce",
        "train/total_loss",
    }


def test_every_interval_evaluates_every_dataset_with_its_own_metrics(runs):
    evaluations = records_of(runs / "whole", "val")
    assert [record["update"] for record in evaluations][:2] == [3, 6]
    for record in (*evaluations, *records_of(runs / "whole", "test")):
        found = {tuple(name.split("/")[1:3]) for name in record["metrics"]}
        assert found == {
            ("msrvtt_retrieval", "clipbert_retrieval"),
            ("msrvtt_qa", "clipbert_answers"),
            ("msrvtt_mc", "clipbert_answers"),
        }


def test_a_resumed_run_goes_on_exactly(runs):
    whole, resumed = runs / "whole", runs / "resumed"
    expected = {update: losses for update, losses in losses_by_update(whole).items() if update > 3}
    assert losses_by_update(resumed) == expected
    states = [torch.load(folder / "current.ckpt", weights_only=True) for folder in (whole, resumed)]
    assert all(torch.equal(value, states[1]["model"][name]) for name, value in states[0]["model"].items())


def test_two_processes_train_as_one_though_a_batch_leaves_heads_unused(runs, corpus, tmp_path):
    run_mmf(make_options(corpus, tmp_path, "run_type=train", "training.evaluation_interval=0"), world_size=2)
    for update, losses in losses_by_update(tmp_path).items():
        assert losses == pytest.approx(losses_by_update(runs / "whole")[update], rel=1e-3)


@pytest.mark.parametrize("dataset", DATASETS)
def test_predictions_of_each_dataset_give_its_metrics(runs, dataset):
    (file,) = (runs / "predicted").glob(f"{dataset}_run_test_*.json")
    done = subprocess.run(
        [sys.executable, "-m", "clipbert_mmf.cli.main", "evaluate", str(file), "--json"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = json.loads(done.stdout)
    # Records do not tell which answers the vocabulary has.
    expected = {
        split_metric_name(name)[2]: value
        for name, value in records_of(runs / "whole", "test")[0]["metrics"].items()
        if f"/{dataset}/" in name and not name.endswith("num_unknown")
    }
    assert set(expected) == set(found) and {name: found[name] for name in expected} == pytest.approx(
        expected, rel=1e-6
    )


def test_a_dataset_names_which_of_the_models_to_take_out(runs):
    with pytest.raises(RecipeError, match="several datasets"):
        ClipBert.from_pretrained(runs / "whole")
    state = torch.load(runs / "whole" / "clipbert_final.pth", weights_only=True)
    for dataset, head, head_type in (
        ("msrvtt_qa", "msrvtt_qa", "classify"),
        ("msrvtt_retrieval", "msrvtt_retrieval", "match"),
        ("msrvtt_mc", "msrvtt_retrieval", "choose_by_match"),
    ):
        model = ClipBert.from_pretrained(runs / "whole", dataset=dataset)
        assert model.head_type == head_type and bool(model.answers) == (dataset == "msrvtt_qa")
        assert torch.equal(model.network.head.output.weight, state[f"network.head.{head}.output.weight"])
