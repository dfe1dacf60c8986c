"""Results of compared models become means over seeds, a table and a picture."""

import pytest

from clipbert_mmf.report.model_comparison import (
    COLUMNS,
    draw_comparison,
    format_comparison_table,
    parse_model_and_dataset,
    summarize_results,
)


def test_rows_are_means_over_seeds():
    results = [
        {"model": "m", "dataset": "d", "seed": seed, **dict.fromkeys(COLUMNS, 2.0), "accuracy": accuracy}
        for seed, accuracy in ((1, 0.5), (2, 0.7))
    ]
    (row,) = summarize_results(results)
    assert row["accuracy"] == pytest.approx(0.6) and row["seeds"] == [1, 2]
    assert "| `m` | `d` | 60.0 ± 14.1 | 200.0 |" in format_comparison_table([row])


def test_the_picture_has_a_bar_per_model(tmp_path):
    rows = [
        {"model": name, "dataset": "d", **dict.fromkeys(COLUMNS, 1.0), "chance": 0.1}
        for name in ("a", "clipbert")
    ]
    draw_comparison(rows, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "text", ["clipbert", "clipbert:nothing", ":msrvtt_qa", "clipbert:coco_vg_pretraining"]
)
def test_another_form_is_refused_with_the_datasets_that_are_compared(text):
    with pytest.raises(ValueError, match="expected MODEL:DATASET with a dataset of"):
        parse_model_and_dataset(text)
