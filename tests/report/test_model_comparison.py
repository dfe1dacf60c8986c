"""Results of compared models become means over seeds, a table and a picture."""

import numpy as np
import pytest

from clipbert_mmf.report.model_comparison import (
    COLUMNS,
    draw_comparison,
    format_comparison_table,
    parse_model_and_dataset,
    summarize_results,
)
from clipbert_mmf.scoring.outcomes import Outcomes


def test_rows_are_means_over_seeds():
    results = [
        {"model": "m", "dataset": "d", "seed": seed, **dict.fromkeys(COLUMNS, 2.0), "accuracy": accuracy}
        for seed, accuracy in ((1, 0.5), (2, 0.7))
    ]
    (row,) = summarize_results(results)
    assert row["accuracy"] == pytest.approx(0.6) and row["seeds"] == [1, 2]
    assert row["accuracy_interval"] is None and row["difference"] is None
    assert "| `m` | `d` | 60.0 ± 14.1 |  |  | 200.0 |" in format_comparison_table([row])


def test_models_are_tested_against_the_first_on_the_same_items():
    media = np.array([f"v{number}" for number in range(60)])
    right = {"a": 0.6, "b": 0.3, "c": 0.55}
    results = [
        {"model": name, "dataset": "d", "seed": 1, **dict.fromkeys(COLUMNS, 2.0), "accuracy": share}
        for name, share in right.items()
    ]
    outcomes = [
        [Outcomes((np.arange(60) < 60 * share).astype(float), media, is_share=True)]
        for share in right.values()
    ]
    first, worse, alike = summarize_results(results, outcomes)
    assert first["difference"] is None and first["accuracy_interval"][0] < 0.6 < first["accuracy_interval"][1]
    assert worse["difference"]["value"] == pytest.approx(-0.3) and worse["difference"]["is_significant"]
    assert not alike["difference"]["is_significant"]
    table = format_comparison_table([first, worse, alike])
    assert "| -30.0 (" in table and "), significant |" in table and "one seed" in table
    lines = table.splitlines()
    assert all(line.count("|") == lines[0].count("|") for line in lines[:5])
    outcomes[1] = [Outcomes(np.ones(59), media[1:], is_share=True)]
    assert "not of the same media" in summarize_results(results, outcomes)[1]["difference"]["problem"]
    outcomes[1] = []
    assert summarize_results(results, outcomes)[1]["difference"] is None


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
