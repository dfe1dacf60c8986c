"""Records of predictions: the owner's ids, the best answers, the clips.

And the metrics come back from the file.
"""

import csv
import json
import math

import pytest
import torch

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.inference.predictions import (
    evaluate_predictions,
    read_predictions,
    write_ranks,
    write_vqa_answers,
)
from clipbert_mmf.plugin.model import mask_options
from clipbert_mmf.scoring.objectives import choice_loss
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.tasks import TASKS
from clipbert_mmf.tasks.predictions import SplitAnnotations

NUM_CLIPS = 2


class Report(dict):
    """MMF's report: keys are attributes too."""

    __getattr__ = dict.__getitem__


def encode(texts):
    return TokenBatch(*(torch.ones(len(texts), 3, dtype=torch.int64) for _ in range(3)))


def make_writer(task, records, answers=None, texts_per_item=2):
    section = {"texts_per_item": {"eval": texts_per_item}}
    packed = PackedRecords.from_records(records)
    maker = TASKS[task].make_items(packed, encode, section, "d", is_training=False, answers=answers)
    return Writer(TASKS[task], SplitAnnotations(maker))


class Writer:
    """A task with the annotations of a split, as the dataset holds them."""

    def __init__(self, task, split):
        self.task, self.split, self.maker = task, split, split.maker

    def write(self, report):
        return self.task.record_predictions("some_dataset", self.split, report)


def make_report(writer, clip_scores, fold=lambda x: x.mean(1), readable=None, with_times=True):
    """Batch and output of all items, as the evaluation loop joins them.

    ``clip_scores`` (P, K, A) or (B, K, N).
    """
    import numpy as np

    samples = [writer.maker.make(item, np.random.default_rng(0)) for item in range(len(writer.maker))]
    report = Report({key: torch.stack([sample[key] for sample in samples]) for key in samples[0]})
    report["item_index"] = torch.arange(len(samples))
    report["readable"] = torch.tensor(readable or [1] * len(samples))
    report["clip_scores"], report["scores"] = clip_scores, fold(clip_scores)
    if with_times:
        report["clip_times_sec"] = torch.tensor([[[0.0, 1.0], [2.5, 3.5]]] * len(samples))
    return report


def write_and_read(tmp_path, records):
    (tmp_path / "p.json").write_text(json.dumps(records))
    return read_predictions(tmp_path / "p.json")


def test_questions_list_their_best_answers_and_no_filling_text(tmp_path):
    records = [
        TextRecord("v1", "what is it ?", "7", answer="dog", answer_type="what"),
        TextRecord("v1", "who is it ?", "8", answer="ghost", answer_type="who"),
        TextRecord("v2", "what runs ?", "9", answer="cat", answer_type="what"),
    ]
    writer = make_writer("open_ended", records, {"cat": 1, "dog": 0, "man": 2})
    scores = torch.zeros(4, NUM_CLIPS, 3)
    scores[0, :, 0], scores[1, 1, 2], scores[2, :, 0] = 2.0, 1.0, 3.0
    found = write_and_read(tmp_path, writer.write(make_report(writer, scores)))
    assert [record["text_id"] for record in found] == ["7", "8", "9"]
    assert [record["answers"][0]["answer"] for record in found] == ["dog", "man", "dog"]
    assert [record["correct"] for record in found] == [1.0, 0.0, 0.0] and found[1]["target"] == "ghost"
    assert sum(answer["probability"] for answer in found[0]["answers"]) == pytest.approx(1.0)
    assert found[1]["clips"] == [
        {"start_sec": 0.0, "end_sec": 1.0, "scores": [0.0, 0.0, 0.0]},
        {"start_sec": 2.5, "end_sec": 3.5, "scores": [1.0, 0.0, 0.0]},
    ]
    metrics = evaluate_predictions(found)
    assert metrics["clipbert_answers/accuracy"] == pytest.approx(1 / 3)
    assert (
        metrics["clipbert_answers/accuracy_what"] == 0.5 and "clipbert_answers/accuracy_when" not in metrics
    )
    assert metrics["clipbert_answers/num_items"] == 2 and metrics["clipbert_answers/num_texts"] == 3
    write_vqa_answers(found, tmp_path / "server.json")
    assert json.loads((tmp_path / "server.json").read_text())[0] == {"question_id": 7, "answer": "dog"}


def test_soft_answers_score_what_people_gave():
    writer = make_writer(
        "vqa",
        [
            TextRecord("i1", "is it ?", "1", soft_answers=(("yes", 1.0), ("no", 0.3)), answer_type="yes/no"),
        ],
        {"yes": 0, "no": 1},
        texts_per_item=1,
    )
    found = writer.write(make_report(writer, torch.tensor([[[0.0, 4.0]]]), with_times=False))
    assert found[0]["correct"] == pytest.approx(0.3) and found[0]["clips"][0]["start_sec"] is None
    assert found[0]["answers"][0]["probability"] == pytest.approx(0.982, abs=1e-3)
    assert evaluate_predictions(found)["clipbert_vqa/accuracy_yes_no"] == pytest.approx(0.3)


def test_choices_name_option_and_index_and_unreadable_ones_are_wrong():
    options = ("a", "b", "b")
    writer = make_writer(
        "multiple_choice",
        [
            TextRecord("v1", "which ?", "q1", options=options, answer=2),
            TextRecord("v2", "which ?", "q2", options=options, answer=0),
        ],
    )
    scores = torch.tensor([[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], [[9.0, 0.0, 0.0], [9.0, 0.0, 0.0]]])
    found = writer.write(make_report(writer, scores, readable=[1, 0]))
    assert found[0]["answers"][0] == {
        "answer": "b",
        "option": 2,
        "probability": pytest.approx(0.665, abs=1e-3),
    }
    assert [record["correct"] for record in found] == [1.0, 0.0] and found[1]["answers"] == []
    metrics = evaluate_predictions(found)
    assert metrics["clipbert_answers/accuracy"] == 0.5 and metrics["clipbert_answers/num_unreadable"] == 1


def test_counts_are_rounded_and_an_unreadable_one_errs_as_far_as_it_can():
    writer = make_writer(
        "count",
        [
            TextRecord("g1", "how many ?", "c1", answer=3),
            TextRecord("g2", "how many ?", "c2", answer=2),
        ],
        texts_per_item=1,
    )
    found = writer.write(make_report(writer, torch.tensor([[[2.0], [4.4]], [[2.0], [2.0]]]), readable=[1, 0]))
    assert found[0]["answers"] == [{"answer": 3, "value": pytest.approx(3.2)}]
    assert evaluate_predictions(found)["clipbert_count/mse"] == (0 + 64) / 2


def test_retrieval_keeps_every_score_and_ranks_come_back(tmp_path):
    records = [TextRecord(f"v{n}", f"text {n}", f"t{n}") for n in range(3)]
    writer = make_writer("retrieval", records)
    scores = torch.zeros(9, NUM_CLIPS, 2)
    difference = torch.tensor([[3.0, 1.0, 0.0], [5.0, 4.0, 0.5], [0.0, 2.0, 1.0]])
    scores[..., 1] = difference.reshape(9, 1)
    found = write_and_read(tmp_path, writer.write(make_report(writer, scores, readable=[1, 1, 0])))
    assert found[0]["scores"] == {"t0": 3.0, "t1": 1.0, "t2": 0.0} and found[0]["correct_text_ids"] == ["t0"]
    assert [(text["text_id"], text["rank"], text["correct"]) for text in found[1]["texts"]][:2] == [
        ("t0", 1, False),
        ("t1", 2, True),
    ]
    metrics = evaluate_predictions(found)
    # t0 finds v1 first, t1 finds v1, the only right video of t2 is unreadable.
    assert metrics["clipbert_retrieval/t2v_r1"] == pytest.approx(1 / 3)
    assert metrics["clipbert_retrieval/num_unreadable"] == 1
    write_ranks(found, tmp_path / "ranks.csv", depth=1)
    rows = list(csv.DictReader((tmp_path / "ranks.csv").open()))
    assert [(row["text_id"], row["media_id"], row["correct"]) for row in rows] == [
        ("t0", "v1", "0"),
        ("t1", "v1", "1"),
        ("t2", "v1", "0"),
    ]


def test_parts_of_one_video_are_items_of_their_own(tmp_path):
    windows = [(0.0, 2.0), (2.0, math.inf), None]
    records = [TextRecord("v", f"text {n}", f"t{n}", window_sec=window) for n, window in enumerate(windows)]
    writer = make_writer("retrieval", records)
    scores = torch.zeros(9, NUM_CLIPS, 2)
    scores[..., 1] = torch.eye(3).reshape(9, 1)
    found = write_and_read(tmp_path, writer.write(make_report(writer, scores)))
    assert [record["segment_sec"] for record in found] == [[0.0, 2.0], [2.0, None], None]
    assert [record["media_id"] for record in found] == ["v"] * 3
    assert evaluate_predictions(found)["clipbert_retrieval/t2v_r1"] == 1
    assert TASKS["retrieval"].guess_from_predictions(found) == pytest.approx(1 / 3)
    assert TASKS["retrieval"].guess_from_annotations(records) == pytest.approx(1 / 3)
    write_ranks(found, tmp_path / "ranks.csv", depth=1)
    rows = list(csv.DictReader((tmp_path / "ranks.csv").open()))
    assert [(row["start_sec"], row["end_sec"]) for row in rows] == [("0.0", "2.0"), ("2.0", ""), ("", "")]


def test_equal_ids_of_texts_stay_apart():
    records = [TextRecord("v1", "one", "0"), TextRecord("v2", "two", "0")]
    writer = make_writer("retrieval", records)
    assert list(writer.write(make_report(writer, torch.zeros(4, 2, 2)))[0]["scores"]) == ["0#0", "0#1"]


def test_what_fills_a_question_with_few_options_is_not_listed():
    records = [
        TextRecord("v1", "which ?", "0", options=("a", "b", "c"), answer=2),
        TextRecord("v2", "which ?", "1", options=("a", "b"), answer=0),
    ]
    writer = make_writer("multiple_choice", records)
    rows = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 9.0]])
    report = make_report(writer, rows[:, None].repeat(1, 2, 1))
    report["scores"] = mask_options({"scores": rows}, report["option_mask"])["scores"]
    assert report["scores"].argmax(1).tolist() == [2, 0]
    found = writer.write(report)
    assert [[answer["option"] for answer in record["answers"]] for record in found] == [[2, 1, 0], [0, 1]]
    assert sum(answer["probability"] for answer in found[1]["answers"]) == pytest.approx(1)
    assert [record["correct"] for record in found] == [1, 1] and len(found[1]["clips"][0]["scores"]) == 2
    assert torch.isfinite(choice_loss(report["scores"], report["targets"]))
