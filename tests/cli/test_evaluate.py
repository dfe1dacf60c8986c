"""``clipbert evaluate``: metrics of a file of predictions, and the files of benchmarks."""

import csv
import json

import pytest

CLIP = {"start_sec": 0.0, "end_sec": 1.0, "scores": []}


def retrieval_record(item, scores, own):
    return {
        "dataset": "d",
        "task": "retrieval",
        "item": item,
        "num_items": 2,
        "item_record": 0,
        "num_item_records": 1,
        "media_id": f"v{item}",
        "readable": True,
        "correct_text_ids": [own],
        "texts": [],
        "scores": scores,
        "clips": [CLIP],
    }


@pytest.fixture
def retrieval_file(tmp_path):
    """Two videos and two texts: the first text finds its video, the second does not."""
    records = [
        retrieval_record(0, {"t0": 2.0, "t1": 1.5}, "t0"),
        retrieval_record(1, {"t0": 1.0, "t1": 0.5}, "t1"),
    ]
    path = tmp_path / "d_run_test_x.json"
    path.write_text(json.dumps(records))
    return path


def test_metrics_are_printed_as_lines_and_as_json(run_verb, read_json, retrieval_file):
    found = read_json("evaluate", retrieval_file)
    assert found["clipbert_retrieval/t2v_r1"] == 0.5 and found["clipbert_retrieval/num_items"] == 2
    code, out, _ = run_verb("evaluate", retrieval_file)
    assert code == 0
    assert {line.split()[0]: float(line.split()[1]) for line in out.splitlines()} == pytest.approx(
        found, rel=1e-5
    )
    code, of_folder, _ = run_verb("evaluate", retrieval_file.parent)
    assert code == 0 and of_folder.splitlines() == [str(retrieval_file), *out.splitlines()]
    code, _, error = run_verb("evaluate", retrieval_file.parent, "--dataset", "other")
    assert code == 1 and "holds no predictions of dataset 'other'; write them: clipbert predict" in error
    (recall,) = [line for line in out.splitlines() if line.startswith("clipbert_retrieval/t2v_r1 ")]
    assert recall.endswith(" 0.5 (0 to 1)")


def test_ranks_are_written_as_a_table(run_verb, retrieval_file, tmp_path):
    code, _, _ = run_verb("evaluate", retrieval_file, "--ranks", tmp_path / "ranks.csv", "--depth", "1")
    rows = list(csv.reader((tmp_path / "ranks.csv").open()))
    assert code == 0 and len(rows) >= 3 and any("v0" in row for row in rows)


def test_a_file_that_is_no_json_is_refused_in_one_line(run_verb, tmp_path):
    (tmp_path / "x.json").write_text("nothing")
    code, out, error = run_verb("evaluate", tmp_path / "x.json")
    assert (code, out) == (1, "") and "is not JSON" in error and len(error.splitlines()) == 1
