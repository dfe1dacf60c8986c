"""The folder of a run is read.

Metrics of the right dataset, predictions of the newest file, chance from annotations.
"""

import json

import numpy as np
import pytest
import yaml

from clipbert_mmf.report.page import make_report
from clipbert_mmf.report.run_record import RunRecord, read_run_record
from clipbert_mmf.scoring.outcomes import Outcomes, write_outcomes
from clipbert_mmf.tasks.datasets import SPECS
from tests.inference.small_run import make_run, run_config


def test_the_metrics_of_a_run_over_several_datasets_is_told_apart(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir)
    config["datasets"] = "msrvtt_retrieval,quiz"
    make_run(tmp_path / "run", tokenizer_dir, config)
    metrics = {"msrvtt_retrieval/clipbert_answers/accuracy": 0.25, "quiz/clipbert_answers/accuracy": 0.75}
    with (tmp_path / "run" / "metrics.jsonl").open("w") as file:
        for split in ("val", "test"):
            numbers = {f"{split}/{name}": value for name, value in metrics.items()}
            file.write(json.dumps({"split": split, "update": 10, "metrics": numbers}) + "\n")
    for number, dataset in enumerate(("msrvtt_retrieval", "quiz")):
        record = {
            "dataset": dataset,
            "task": "multiple_choice",
            "item": 0,
            "num_items": 1,
            "item_record": 0,
            "num_item_records": 1,
            "media_id": "v",
            "readable": True,
            "text_id": "0",
            "text": "which",
            "options": ["a", "b"],
            "answers": [],
            "target": "a",
            "target_option": 0,
            "correct": 1.0,
            "clips": [],
        }
        (tmp_path / "run" / f"{dataset}_run_test_{number}.json").write_text(json.dumps([record]))
        run = read_run_record(tmp_path / "run", dataset)
        assert run.predictions[0]["dataset"] == dataset
        assert run.final_metrics() == {
            "clipbert_answers/accuracy": metrics[f"{dataset}/clipbert_answers/accuracy"]
        }
    page = make_report(tmp_path / "run", num_examples=0)
    assert "msrvtt_retrieval accuracy ends at 25 %; quiz accuracy ends at 75 %" in page


def test_metrics_are_those_of_the_test_and_else_of_the_predictions(tmp_path):
    (tmp_path / "config.yaml").write_text("datasets: quiz")
    record = {
        **{"dataset": "quiz", "task": "count", "media_id": "v", "text_id": "0", "text": "how many"},
        **{"item": 0, "num_items": 1, "item_record": 0, "num_item_records": 1},
        **{"readable": False, "correct": 0.0, "answers": [], "target": 3, "clips": []},
    }
    (tmp_path / "quiz_run_test_1.json").write_text(json.dumps([record]))
    run = read_run_record(tmp_path)
    assert (
        run.task is not None and run.task.name == "count" and run.final_metrics()["clipbert_count/mse"] == 49
    )
    lines = [
        {"split": split, "metrics": {f"{split}/quiz/clipbert_count/mse": mse}}
        for split, mse in (("test", 2.0), ("val", 3.0))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_run_record(tmp_path).final_metrics() == {"clipbert_count/mse": 2.0}


def test_chance_follows_from_the_configured_annotations(tmp_path):
    questions = [
        {"question": "what", "answer": word, "video_id": 1, "id": n, "category_id": 0}
        for n, word in enumerate("aab")
    ]
    (tmp_path / "test.json").write_text(json.dumps(questions))
    section = {"data_dir": str(tmp_path), "annotations": {"test": [{"file": "test.json"}]}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"dataset_config": {"msrvtt_qa": section}}))
    assert read_run_record(tmp_path).guess_from_annotations(SPECS["msrvtt_qa"]) == pytest.approx(2 / 3)


def test_a_folder_of_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_run_record(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="neither config.yaml nor metrics.jsonl"):
        read_run_record(tmp_path)
    assert RunRecord(tmp_path, {}, [], []).task is None


def test_intervals_and_outcomes_are_those_of_the_final_evaluation(tmp_path):
    (tmp_path / "config.yaml").write_text("datasets: quiz")
    name = "test/quiz/clipbert_answers/accuracy"
    results = [{"dataset": "quiz", "metric": "clipbert_answers/accuracy", "interval": [0.2, 0.6]}]
    line = {"split": "test", "metrics": {name: 0.4}, "final": True, "results": results}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    run = read_run_record(tmp_path)
    (result,) = run.final_results()
    assert run.final_split == "test" and result.metric == "clipbert_answers/accuracy"
    assert list(result.interval or ()) == [0.2, 0.6] and result.title == "accuracy"
    assert run.read_outcomes("test") == {}
    rows = Outcomes(np.array([1.0, 0, 0, 1, 0]), np.arange(5))
    write_outcomes(tmp_path / "outcomes_test_quiz.npz", {name: rows})
    assert list(run.read_outcomes("test")) == ["clipbert_answers/accuracy"]
    write_outcomes(tmp_path / "outcomes_test_quiz.npz", {name: Outcomes(np.ones(2), np.arange(2))})
    assert run.read_outcomes("test") == {}  # of another evaluation


def test_a_report_of_loaded_weights_beside_the_metrics_is_no_file_of_predictions(tmp_path):
    line = {"split": "test", "final": True, "metrics": {"test/x/m/accuracy": 0.5}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "weights_report.json").write_text(
        json.dumps([{"path": "R-50.pkl", "part": "backbone"}], indent=2)
    )
    record = read_run_record(tmp_path)
    assert record.predictions == [] and record.read_metrics("test") == {"m/accuracy": 0.5}


def test_predictions_alone_have_intervals_too(tmp_path):
    (tmp_path / "config.yaml").write_text("datasets: quiz")
    record = {
        **{"dataset": "quiz", "task": "count", "text": "how many", "num_items": 4},
        **{"item_record": 0, "num_item_records": 1},
        **{"readable": False, "correct": 0.0, "answers": [], "clips": []},
    }
    records = [
        {**record, "item": n, "media_id": f"v{n}", "text_id": f"{n}", "target": 3 + n} for n in range(4)
    ]
    (tmp_path / "quiz_run_test_1.json").write_text(json.dumps(records))
    (result,) = [r for r in read_run_record(tmp_path).final_results() if r.metric == "clipbert_count/mse"]
    low, high = result.interval or (0, 0)
    assert low < result.value < high and result.chance is not None


def test_the_log_tells_date_duration_data_and_size(tmp_path):
    (tmp_path / "config.yaml").write_text("datasets: quiz")
    assert read_run_record(tmp_path).describe() == []
    (tmp_path / "train.log").write_text(
        "2026-11-26T06:20:32 | INFO | mmf.train : Loading datasets\n"
        "2026-11-26T06:20:33 | INFO | p.dataset : quiz (train): 10 rows, 9 videos, 0 of them not in /data\n"
        "2026-11-26T06:20:33 | INFO | p.loop : training 0.8 of 0.8 M parameters for 20 updates, fp32 on 1 x cpu\n"
        "2026-11-26T06:23:52 | INFO | p.evaluation : results\n"
    )
    assert dict(read_run_record(tmp_path).describe()) == {
        "date": "26 November 2026, 06:20",
        "duration": "3 min 20 s",
        "data": "quiz train: 10 rows, 9 videos",
        "size": "0.8 of 0.8 M parameters for 20 updates, fp32 on 1 x cpu",
    }
