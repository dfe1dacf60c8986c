"""A run ends with one table; each number says its interval, chance, items and what to know about it."""

import json
import types

import numpy as np
import pytest

from clipbert_mmf.scoring.outcomes import Outcomes, load_outcomes
from clipbert_mmf.training.results import describe_results, format_results
from tests.toy_runs import read_records
from tests.training.plain_host import NUM_ITEMS, Parts, Points

RIGHT = np.repeat([1.0, 0.0], 40)
MEDIA = np.array([f"v{number:02d}" for number in range(80)])


def describe(**more):
    prefix = "test/d/clipbert_answers/"
    numbers = {f"{prefix}accuracy": 0.5, f"{prefix}num_items": 80.0, f"{prefix}num_unreadable": 2.0}
    numbers |= {f"{prefix}{name}": value for name, value in more.items()}
    outcomes = {f"{prefix}accuracy": Outcomes(RIGHT, MEDIA, title="accuracy", is_share=True)}
    return describe_results(numbers, outcomes, {"clipbert_answers/accuracy": 0.25})


def test_a_number_stands_beside_its_interval_chance_and_counts():
    (result,) = describe()
    assert (result.split, result.dataset, result.metric) == ("test", "d", "clipbert_answers/accuracy")
    assert (result.chance, result.items, result.media, result.unreadable) == (0.25, 80, 80, 2)
    low, high = result.interval
    assert low == pytest.approx(0.5 - 1.96 * (0.25 / 80) ** 0.5, abs=0.02)
    assert high == pytest.approx(0.5 + 1.96 * (0.25 / 80) ** 0.5, abs=0.02)
    assert result.remark == "" and json.loads(json.dumps(result.to_record()))["interval"] == [low, high]


def test_counts_become_remarks_on_the_number_they_belong_to():
    (result,) = describe(num_unknown=3.0)
    assert result.remark == "3 of the answers are not in the vocabulary"
    ranks = {f"test/d/r/{way}_{name}": 1.0 for way in ("t2v", "v2t") for name in ("r1", "mean_rank")}
    results = describe_results({**ranks, "test/d/r/t2v_num_ties": 2.0, "test/d/r/v2t_num_ties": 0.0}, {}, {})
    assert [one.remark for one in results] == ["2 ties, counted as misses"] * 2 + ["", ""]


def test_a_users_metric_without_outcomes_has_no_interval():
    (result,) = describe_results({"val/d/own_metric": 0.3}, {}, {})
    assert (result.title, result.value, result.interval, result.items) == ("own metric", 0.3, None, None)
    assert "own metric" in format_results([result]) and "bootstrap" not in format_results([result])


def test_the_table_shows_shares_in_per_cent_and_a_remark_once():
    prefix = "test/d/m/"
    numbers = {f"{prefix}accuracy": 0.5, f"{prefix}accuracy_what": 0.5, f"{prefix}mse": 2.25}
    few = Outcomes(RIGHT[30:50], MEDIA[30:50], title="accuracy", is_share=True)
    error = Outcomes(RIGHT * 4.5, MEDIA, title="mean squared error")
    outcomes = {f"{prefix}accuracy": few, f"{prefix}accuracy_what": few, f"{prefix}mse": error}
    table = format_results(describe_results(numbers, outcomes, {}))
    lines = table.splitlines()
    assert lines[0].split() == [
        "split",
        "metric",
        "value",
        "95%",
        "interval",
        "chance",
        "items",
        "unreadable",
        "remark",
    ]
    assert "50.0 %" in lines[1] and " to " in lines[1] and "tiny: 20 media, one of them is 5 %" in lines[1]
    assert "tiny" not in lines[2] and "2.25" in lines[3] and lines[4].startswith("intervals: bootstrap over")
    assert max(map(len, lines)) < 120


def test_datasets_are_named_where_there_are_several():
    numbers = {f"test/{name}/m/accuracy": 0.5 for name in ("a", "b")}
    assert "dataset" in format_results(describe_results(numbers, {}, {})).splitlines()[0]


@pytest.mark.parametrize(
    "dataset, words", [("coco_captions_retrieval", "image"), ("msrvtt_retrieval", "video")]
)
def test_retrieval_is_told_in_the_words_of_its_media(dataset, words):
    name = f"test/{dataset}/clipbert_retrieval/t2v_r1"
    rows = Outcomes(np.ones(4), np.arange(4), title="text to video, recall at 1", is_share=True)
    (found,) = describe_results({name: 1.0}, {name: rows}, {})
    assert found.title == f"text to {words}, recall at 1"


def test_items_of_one_video_are_one_medium(tmp_path, monkeypatch):
    maker = types.SimpleNamespace(media_key=lambda item: f"video{item // 2}", records=())
    monkeypatch.setattr(Points, "maker", maker, raising=False)
    (result,) = Parts(tmp_path, run_type="test").evaluator.evaluate("test", final=True).results
    assert (result.items, result.media) == (5, 3)
    outcomes = load_outcomes(tmp_path / "outcomes_test_points.npz")["test/points/accuracy"]
    assert outcomes.media.tolist() == ["video0", "video0", "video1", "video1", "video2"]


def test_a_metric_whose_outcomes_are_wrong_or_fail_costs_its_interval_alone(tmp_path, monkeypatch, caplog):
    parts = Parts(tmp_path, run_type="test")
    wrong = Outcomes(np.full(5, 7.0), np.arange(5))
    monkeypatch.setattr(parts.host, "trace_metrics", lambda report: {"test/points/accuracy": wrong})
    (result,) = parts.evaluator.evaluate("test", final=True).results
    assert result.interval is None and "its outcomes give 7 and not" in caplog.text
    monkeypatch.setattr(parts.host, "trace_metrics", lambda report: {}["a"])
    (result,) = parts.evaluator.evaluate("test", final=True).results
    assert result.interval is None and "outcomes fail with KeyError" in caplog.text
    assert not list(tmp_path.glob("outcomes_*"))


def test_a_run_writes_results_and_outcomes(tmp_path, caplog):
    parts = Parts(tmp_path, run_type="val_test")
    with caplog.at_level("INFO", logger="clipbert_mmf"):
        parts.evaluator.run_final()
    tables = [record.getMessage() for record in caplog.records if record.getMessage().startswith("results\n")]
    assert len(tables) == 1 and tables[0].count("accuracy") == 2
    for record in read_records(tmp_path):
        (result,) = record["results"]
        assert result["items"] == NUM_ITEMS[record["split"]] and result["title"] == "accuracy"
        assert 0 <= result["interval"][0] <= result["value"] <= result["interval"][1] <= 1
        outcomes = load_outcomes(tmp_path / f"outcomes_{record['split']}_points.npz")
        assert [rows.value for rows in outcomes.values()] == pytest.approx([result["value"]])
