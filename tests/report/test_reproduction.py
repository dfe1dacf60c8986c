"""The estimates of ``clipbert reproduce`` come from the measured costs, and rows from the recipes."""

import json
from pathlib import Path

import pytest

from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.paths import project_dir
from clipbert_mmf.report.reproduction import describe_result, find_problems, format_result, load_reproduction

MEASURED = Path(__file__).parents[2] / "docs/results/gpu-nvidia-h100-80gb-hbm3-2026-11-26.json"


def test_costs_are_those_that_were_measured():
    parts = json.loads(MEASURED.read_text())["parts"]
    costs, steps, search = load_reproduction().costs, parts["steps"]["facts"], parts["retrieval"]["facts"]
    batch = steps["training_step"]
    clips = batch["videos"] * batch["clips"]
    assert costs.train_clips_per_sec == pytest.approx(clips / steps["training_step_sec_bf16"], rel=1e-3)
    assert costs.decode_sec_per_clip == pytest.approx(search["decode_sec_per_video"] / 16 / 16, rel=1e-3)
    assert costs.encode_sec_per_clip == pytest.approx(search["encode_sec_per_video"] / 16, rel=1e-3)
    pair = search["score_sec_per_pair"]["1024"] / search["clips"]
    assert costs.score_sec_per_pair_of_clip == pytest.approx(pair, rel=1e-3)


def test_an_estimate_counts_clips_frames_and_pixels():
    content = load_reproduction()
    training, test = content.rows["msrvtt_retrieval"].estimate_hours(content.costs)
    assert training == pytest.approx(140200 * 20 * 4 / 854.1 / 3600)
    assert test == pytest.approx(16 * (1000 * (3.3541e-4 + 5.7766e-4) + 1e6 * 3.6888e-5) / 3600)
    assert content.rows["msrvtt_retrieval_8x2"].estimate_hours(content.costs)[0] == pytest.approx(
        4 * training
    )
    images = content.rows["vqa2_pixels"]
    assert images.estimate_hours(content.costs)[0] == pytest.approx(
        221900 * 13 * (768 / 448) ** 2 / 854.1 / 3600
    )


def test_rows_have_the_epochs_and_metrics_of_their_recipes():
    for name, row in load_reproduction().rows.items():
        recipe = read_yaml(project_dir() / "clipbert" / "configs" / row.dataset / "defaults.yaml")
        assert row.metric.split("/")[0] in recipe["evaluation"]["metrics"], name
        assert row.weights_of or row.epochs == recipe["training"]["max_epochs"], name


def test_rows_of_one_table_lie_as_far_apart_as_the_papers_text_says():
    rows = load_reproduction().rows
    assert sum(bool(row.stated) for row in rows.values()) == 11
    for small, large in (("msrvtt_retrieval", "msrvtt_retrieval_8x2"), ("msrvtt_qa", "msrvtt_qa_8x2")):
        above = [float(rows[name].stated.split()[0]) for name in (large, small)]
        figures = [rows[name].paper or 0 for name in (large, small)]
        assert figures[0] - figures[1] == pytest.approx(above[0] - above[1])


def test_an_empty_folder_of_media_is_missing_and_an_absent_corpus_is_described(tmp_path):
    row = load_reproduction().rows["didemo_retrieval"]
    (tmp_path / "videos").mkdir()
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}_data.json").write_text("[]")
    problems = find_problems(row, tmp_path, None)
    assert any("media.test: " in problem and "videos is empty" in problem for problem in problems)
    assert not any("annotations" in problem for problem in problems)
    names = "train_data.json, val_data.json, test_data.json, videos"
    assert f"no such folder; expected a folder with {names}" in find_problems(row, tmp_path / "x", None)[0]
    file = tmp_path / "train_data.json"
    assert f"{file}: is a file; expected a folder" in find_problems(row, file, None)[0]
    assert (
        find_problems(row, tmp_path, None, tokenizer=str(file))[-1] == f"--tokenizer {file}: no such folder"
    )


def test_a_result_without_a_figure_of_the_paper_has_no_difference():
    row = load_reproduction().rows["didemo_retrieval"]
    result = describe_result(row, {"clipbert_retrieval/t2v_r1": 0.215})
    assert result["ours"] == 21.5 and result["difference"] is None
    assert "| - | 21.5 | - |" in format_result(row, result)
    with pytest.raises(KeyError, match="clipbert_retrieval/t2v_r1; it has loss"):
        describe_result(row, {"loss": 1.0})
