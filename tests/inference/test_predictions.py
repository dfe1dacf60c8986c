"""Files of predictions are read, judged again and written for benchmarks.

One that cannot be used is named.
"""

import csv
import json

import pytest

from clipbert_mmf.inference.predictions import (
    PredictionsError,
    evaluate_predictions,
    read_predictions,
    write_ranks,
    write_vqa_answers,
)


def make_records(task, **more):
    base = {
        "dataset": "d",
        "task": task,
        "item": 0,
        "num_items": 1,
        "item_record": 0,
        "num_item_records": 1,
        "media_id": "m",
        "readable": True,
        "text_id": "7",
        "match_probability": 0.5,
        "target": 1,
        "correct": 1.0,
    }
    return [{**base, **more}]


def test_an_old_name_of_a_task_is_not_read(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps(make_records("soft_answers")))
    with pytest.raises(PredictionsError, match="record 0: task is 'soft_answers'; expected one of .*'vqa'"):
        read_predictions(tmp_path / "p.json")


def test_metrics_are_named_as_an_evaluation_names_them():
    assert evaluate_predictions(make_records("pretraining")) == {
        "clipbert_pretraining/itm_accuracy": 1.0,
        "clipbert_pretraining/num_texts": 1.0,
        "clipbert_pretraining/num_items": 1.0,
        "clipbert_pretraining/num_unreadable": 0.0,
    }


def test_a_benchmark_takes_only_what_it_asks_for(tmp_path):
    with pytest.raises(PredictionsError, match="takes answers to questions; these are of task 'count'"):
        write_vqa_answers(make_records("count"), tmp_path / "out")
    with pytest.raises(PredictionsError, match="question id 'a'; the VQA server wants numbers"):
        write_vqa_answers(make_records("vqa", text_id="a", answers=[]), tmp_path / "out")
    with pytest.raises(PredictionsError, match="these predictions are of task 'vqa'"):
        write_ranks(make_records("vqa"), tmp_path / "out")
    retrieval = make_records("retrieval", correct_text_ids=["t"], scores={"t": 1.0})
    with pytest.raises(PredictionsError, match="depth is 0; expected at least 1"):
        write_ranks(retrieval, tmp_path / "out", depth=0)
    write_ranks(retrieval, tmp_path / "out")
    assert list(csv.reader((tmp_path / "out").open()))[1] == ["t", "1", "m", "1.0", "1"]


@pytest.mark.parametrize(
    "content, message",
    [
        ("[", "is not JSON .*predict_file_format=json"),
        ("[]", "expected a list of at least one record"),
        ('[{"key": 1}]', "record 0: the record lacks 'dataset', 'task'"),
        (
            '[{"dataset": "d", "task": "guess", "item": 0, "media_id": "m", "readable": true}]',
            "task is 'guess'; expected",
        ),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, content, message):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(PredictionsError, match=message):
        read_predictions(tmp_path / "p.json")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_predictions(tmp_path / "none.json")
