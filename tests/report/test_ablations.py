"""Rows of the paper's tables become options, and their results a table and a picture."""

from dataclasses import replace

import numpy as np
import pytest

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.report.ablations import (
    AblationRow,
    RowResult,
    draw_ablation,
    format_ablation_table,
    format_option,
    load_ablations,
    summarize_row,
)
from clipbert_mmf.scoring.outcomes import Outcomes


def test_frames_are_scaled_to_the_corpus():
    options = load_ablations().write_overrides({"eval.image_size": 768}, "d", frame_px=64)
    assert options == ["dataset_config.d.processors.eval_media_processor.params.image_size=112"]


def test_a_missing_weights_file_leaves_a_row_out():
    ablations = load_ablations()
    row = ablations.tables["table5"].rows["tsn_bert"]
    assert ablations.write_overrides(row.overrides, "d", files={"bert": "x"}) is None
    assert "model_config.clipbert.weights.backbone=y" in (
        ablations.write_overrides(row.overrides, "d", files={"bert": "x", "tsn": "y"}) or []
    )


def test_values_are_written_as_mmf_reads_them():
    assert [format_option(value) for value in (None, True, 2, "lse")] == ["null", "true", "2", "lse"]


def test_an_unknown_beginning_or_key_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="override 'test.fps' begins with 'test'; allowed are eval"):
        load_ablations().write_overrides({"test.fps": 1}, "d")
    (tmp_path / "a.yaml").write_text("prefixes: {}\ntasks: {}\ncorpora: {}\ntable: {}\n")
    with pytest.raises(ConfigurationError, match="table"):
        load_ablations(tmp_path / "a.yaml")


def test_the_table_shows_ours_beside_the_papers():
    results = [
        RowResult(
            "lse_N2", AblationRow(("lse", "2"), {}, {"t2v_r1": 15.5}), {"t2v_r1": 0.25, "seconds": 3.2}
        ),
        RowResult("lse_N16", AblationRow(("lse", "16"), {}, {"t2v_r1": 17.4}), {}),
    ]
    table = format_ablation_table(["fold", "N_train"], results).splitlines()
    assert table[0] == "| fold | N_train | t2v_r1 | paper: t2v_r1 | seconds |"
    assert table[2:] == ["| lse | 2 | 25.0 | 15.5 | 3 |", "| lse | 16 |  | 17.4 | not run |"]


def test_rows_are_means_over_seeds_beside_the_first_row():
    media = np.array([f"v{number}" for number in range(40)])

    def make(share):
        return {"t2v_r1": Outcomes((np.arange(40) < 40 * share).astype(float), media, is_share=True)}

    first = summarize_row("a", AblationRow(("a",)), [{"t2v_r1": 0.2}], [make(0.2)], [])
    shares = (0.6, 0.8)
    numbers = [{"t2v_r1": share, "seconds": 2.0} for share in shares]
    second = summarize_row("b", AblationRow(("b",)), numbers[:1], [make(0.6)], [first])
    assert second.difference["is_significant"] and second.difference["value"] == pytest.approx(0.4)
    several = summarize_row("b", AblationRow(("b",)), numbers, [make(share) for share in shares], [first])
    assert several.ours["t2v_r1"] == pytest.approx(0.7) and several.spread["t2v_r1"] == pytest.approx(
        0.1414, abs=1e-3
    )
    assert several.intervals["t2v_r1"][0] < 0.7 < several.intervals["t2v_r1"][1]
    table = format_ablation_table(["fold"], [replace(first, ours={**first.ours, "seconds": 1.0}), second])
    header, _, _, line, _, note = table.splitlines()
    assert header == "| fold | t2v_r1 | t2v_r1: above the first | seconds |"
    assert "60.0 (" in line and "+40.0 (" in line and "), significant" in line and "same items" in note
    assert "70.0 ± 14.1 (" in format_ablation_table(["fold"], [several])


def test_figures_are_drawn(tmp_path):
    rows = [RowResult(n, AblationRow((n,)), {"qa_accuracy": 0.1, "seconds": 1.0}) for n in ("1", "2")]
    draw_ablation("Figure 4", "N_test", rows, tmp_path / "4.png")
    cost = {"max_memory_mib": 100.0, "step_seconds": 0.2, "seconds": 1.0}
    rows = [RowResult(f"{n}", AblationRow(n), cost) for n in (("1", "1"), ("2", "1"), ("1", "4"))]
    draw_ablation("Figure 5", "N_train", rows, tmp_path / "5.png")
    for name in ("4.png", "5.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
