"""The folder of a run, through MMF's command line.

Its files, a run that is resumed, a file of predictions.
"""

import pytest
import torch

from tests.e2e.running import run_plan
from tests.e2e.small_tasks import (
    DATASETS,
    WITH_ANSWERS,
    list_files,
    make_corpora,
    read_predictions,
    read_records,
    task_options,
)

#: Files of every run that trains, with validation and without a limit on checkpoints.
FILES = {
    "best.ckpt",
    "clipbert_final.pth",
    "config.yaml",
    "current.ckpt",
    "logs/train_*.log",
    "metrics.jsonl",
    "models/model_2.ckpt",
    "models/model_4.ckpt",
    "train.log",
}
#: Keys of a record of predictions: of every task, of every question, and of each task.
OF_ALL = {
    "dataset",
    "task",
    "item",
    "num_items",
    "item_record",
    "num_item_records",
    "media_id",
    "segment_sec",
    "readable",
    "clips",
}
OF_QUESTIONS = OF_ALL | {"text_id", "text", "answer_type", "answers", "target", "correct"}
PREDICTION_KEYS = {
    "msrvtt_retrieval": OF_ALL | {"correct_text_ids", "texts", "scores"},
    "coco_captions_pretraining": OF_ALL | {"text_id", "match_probability", "target", "correct"},
    "msrvtt_qa": OF_QUESTIONS,
    "tgif_qa_action": OF_QUESTIONS | {"options", "target_option"},
    "vqa2_pixels": OF_QUESTIONS,
    "tgif_qa_count": OF_QUESTIONS,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder that holds ``<dataset>.whole``, ``<dataset>.resumed`` and ``<dataset>.predicted``."""
    folder = tmp_path_factory.mktemp("runs")
    corpora = make_corpora(folder / "corpora")
    plan = {}
    for dataset in DATASETS:
        whole = folder / f"{dataset}.whole"
        plan[f"{dataset}.whole"] = task_options(corpora, dataset, whole, "run_type=train_val_test")
        plan[f"{dataset}.resumed"] = task_options(
            corpora,
            dataset,
            folder / f"{dataset}.resumed",
            "run_type=train_val",
            f"checkpoint.resume_file={whole / 'models' / 'model_2.ckpt'}",
        )
        plan[f"{dataset}.predicted"] = task_options(
            corpora,
            dataset,
            folder / f"{dataset}.predicted",
            "run_type=test",
            "evaluation.predict=true",
            f"model_config.clipbert.weights.clipbert={whole / 'clipbert_final.pth'}",
        )
    codes = run_plan("tasks_program.py", plan, folder)
    for name, code in codes.items():
        assert code == 0, (folder / f"plan.json.{name}.log").read_text()[-4000:]
    return folder


@pytest.fixture(scope="module")
def damaged(runs):
    """Run the evaluation and the prediction of a model with a NaN in its weights; return exit codes and logs."""
    plan = {}
    for dataset in ("msrvtt_retrieval", "tgif_qa_action"):
        state = torch.load(runs / f"{dataset}.whole" / "clipbert_final.pth", weights_only=True)
        for name in [name for name in state if "encoder" in name and name.endswith("bias")]:
            state[name][0] = torch.nan
        torch.save(state, runs / f"{dataset}.damaged.pth")
        for kind, predict in (("tested", "false"), ("predicted", "true")):
            name = f"{dataset}.damaged_{kind}"
            plan[name] = task_options(
                runs / "corpora",
                dataset,
                runs / name,
                "run_type=test",
                f"evaluation.predict={predict}",
                f"model_config.clipbert.weights.clipbert={runs / f'{dataset}.damaged.pth'}",
            )
    codes = run_plan("tasks_program.py", plan, runs)
    return {name: (code, (runs / f"plan.json.{name}.log").read_text()) for name, code in codes.items()}


def test_a_model_that_gives_nan_ends_with_the_first_item(runs, damaged):
    assert len(damaged) == 4
    for name, (code, log) in damaged.items():
        assert code != 0 and "the model gives nan for item 0, 'video" in log.replace("tumblr_demo", "video")
        assert (
            not list((runs / name).glob("*_run_test_*.json")) and not (runs / name / "metrics.jsonl").exists()
        )


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_run_leaves_these_files(runs, dataset):
    answers = {f"answers_{dataset}.json"} if dataset in WITH_ANSWERS else set()
    files = list_files(runs / f"{dataset}.whole")
    assert "tokenizer/tokenizer.json" in files
    # What the numbers of each final evaluation are means of, for intervals and paired tests.
    outcomes = {f"outcomes_{split}_{dataset}.npz" for split in ("val", "test")}
    assert {name for name in files if not name.startswith("tokenizer/")} == FILES | answers | outcomes
    weights = torch.load(runs / f"{dataset}.whole" / "clipbert_final.pth", weights_only=True)
    assert weights and all(name.startswith("network.") for name in weights)


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_record_is_written_for_every_update_and_every_evaluation(runs, dataset):
    whole = runs / f"{dataset}.whole"
    training = read_records(whole, "train")
    assert [record["update"] for record in training] == [1, 2, 3, 4]
    for record in training:
        assert {"epoch", "lr", "losses", "grad_norm", "updates_per_sec", "data_wait", "eta_sec"} <= set(
            record
        )
        assert all(name.startswith(("train/total_loss", f"train/{dataset}/")) for name in record["losses"])
    evaluations = read_records(whole, "val")
    assert [(record["update"], record.get("final", False)) for record in evaluations][:2] == [
        (2, False),
        (4, False),
    ]
    assert [record.get("final", False) for record in evaluations][2:] == [True]
    (test,) = read_records(whole, "test")
    for record in (*evaluations, test):
        split = record["split"]
        assert record["metrics"] and all(name.startswith(f"{split}/{dataset}/") for name in record["metrics"])
        assert {"epoch", "losses", "seconds"} <= set(record)


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_resumed_run_continues_the_loss_curve_exactly(runs, dataset):
    whole, resumed = runs / f"{dataset}.whole", runs / f"{dataset}.resumed"
    expected = [record for record in read_records(whole, "train") if record["update"] > 2]
    found = read_records(resumed, "train")
    for key in ("update", "epoch", "lr", "losses", "grad_norm"):
        assert [record[key] for record in found] == [record[key] for record in expected]
    # The last validation has the same numbers, and the weights are the same bit by bit.
    last = [[r for r in read_records(run, "val") if not r.get("final")][-1] for run in (whole, resumed)]
    assert last[0]["update"] == 4 and last[0]["metrics"] == last[1]["metrics"]
    states = [torch.load(run / "current.ckpt", weights_only=True)["model"] for run in (whole, resumed)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_prediction_file_holds_the_keys_of_its_task(runs, dataset):
    records = read_predictions(runs / f"{dataset}.predicted", dataset)
    assert records
    for record in records:
        assert set(record) == PREDICTION_KEYS[dataset]
        assert record["dataset"] == dataset and record["readable"] is True
        assert all(set(clip) == {"start_sec", "end_sec", "scores"} for clip in record["clips"])
    items = [record["item"] for record in records]
    assert items == sorted(items) and set(items) == set(range(items[-1] + 1))


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_run_that_predicts_leaves_no_checkpoint(runs, dataset):
    assert list_files(runs / f"{dataset}.predicted") == {
        "config.yaml",
        f"{dataset}_run_test_*.json",
        "logs/train_*.log",
        "train.log",
        "weights_report.json",
    }
