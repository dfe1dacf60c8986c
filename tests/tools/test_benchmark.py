"""The data benchmark runs from the command line, and its table says what was met."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.curves import Curve, format_curves
from benchmarks.largest_batch import search_largest

ROOT = Path(__file__).resolve().parents[2]


def run_quick(what, folder):
    """Return what a benchmark printed and what it wrote."""
    command = [sys.executable, "tools/benchmark.py", what, "--quick", "--cache", str(folder / "media")]
    output = folder / f"{what}.json"
    result = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout, json.loads(output.read_text())


def test_the_data_benchmark_prints_a_table_and_writes_json(tmp_path):
    printed, content = run_quick("data", tmp_path)
    assert content["benchmark"] == "data"
    assert len([row for row in content["rows"] if "torchcodec" not in row["peer"].lower()]) == 20
    for row in content["rows"]:
        assert f"| {row['case']} | {row['peer']} |" in printed
        assert row["met"] == (row["ratio"] >= row["goal"])
    sizes = list(content["resident_mib"].values())
    assert max(sizes) - min(sizes) < 30


def test_an_unknown_benchmark_is_named():
    result = subprocess.run(
        [sys.executable, "tools/benchmark.py", "dta"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2 and "invalid choice: 'dta'" in result.stderr


@pytest.mark.long
def test_the_model_benchmark_compares_equal_scores_and_writes_json(tmp_path):
    printed, content = run_quick("model", tmp_path)
    assert content["benchmark"] == "model" and len(content["rows"]) == 12
    assert {row["peer"].rpartition(", ")[2] for row in content["rows"][:2]} == {"fp32"}
    assert content["facts"]["largest difference of scores"] < 1e-4
    assert "shares of retrieval" in printed and "training step, 2 videos x 2 texts, bf16" in printed


@pytest.mark.long
def test_the_retrieval_benchmark_checks_what_must_be_equal_and_writes_table_and_picture(tmp_path):
    printed, content = run_quick("eval", tmp_path)
    facts = content["facts"]
    bitwise = [
        finding for check, finding in facts["checks"].items() if "processes" in check or "resumed" in check
    ]
    assert bitwise == ["equal bit for bit"] * 4
    lines = {line["way"]: line for line in facts["ways"]}
    exact, most = lines["all pairs"], lines["top 12"]
    assert (
        all(exact[key] == most[key] for key in exact if key.startswith(("t2v", "v2t")))
        and most["pairs"] == 48
    )
    assert lines["top 1"]["pairs"] < lines["top 2"]["pairs"] < 48
    assert len(facts["estimates"]) == 8 and "| ActivityNet 4.9k x 4.9k | top 10 |" in printed
    assert (tmp_path / "eval.md").read_text() in printed and (tmp_path / "eval.png").read_bytes()[
        1:4
    ] == b"PNG"


@pytest.mark.long
def test_the_scale_benchmark_draws_curves_and_writes_json(tmp_path):
    printed, content = run_quick("scale", tmp_path)
    sizes = {curve["name"]: [float(size) for size in curve["points"]] for curve in content["curves"]}
    assert sizes == {
        "batch": [1, 2],
        "L": [64, 96],
        "videos": [1, 2],
        "texts": [4, 8],
        "msrvtt_retrieval": [1000, 2000],
        "visual_genome_pretraining": [1000, 2000],
        "demo network": [1, 2],
    }
    numbers = [
        number
        for curve in content["curves"]
        for point in curve["points"].values()
        for number in point.values()
    ]
    assert min(numbers) >= 0 and "processes 2 |" in printed
    assert {path.name for path in tmp_path.glob("*.png")} == {
        f"growth_{name}.png" for name in ("training", "evaluation", "data", "processes")
    }


def test_the_largest_batch_is_found_between_powers_of_two():
    for largest in (0, 1, 2, 3, 16, 190):
        assert search_largest(lambda number, largest=largest: number <= largest) == largest


def test_growth_is_told_as_a_power_of_the_size():
    curve = Curve(
        "squares", "side", "areas", {2: {"area": 4.0, "sides": 4.0}, 4: {"area": 16.0, "sides": 4.0}}
    )
    assert curve.exponents("area") == {4: 2.0} and curve.exponents("sides") == {4: 0.0}
    assert "| squares | side 4 | 16 (^2.00) | 4 (^0.00) |" in format_curves([curve])
