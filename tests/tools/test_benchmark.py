"""The data benchmark runs from the command line, and its table says what was met."""

import json
import subprocess
import sys
from pathlib import Path

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
    assert content["benchmark"] == "data" and len(content["rows"]) == 15
    for row in content["rows"]:
        assert f"| {row['case']} | {row['peer']} |" in printed
        assert row["met"] == (row["ratio"] >= row["goal"])
    sizes = list(content["resident_mib"].values())
    assert max(sizes) - min(sizes) < 30


def test_an_unknown_benchmark_is_named():
    result = subprocess.run([sys.executable, "tools/benchmark.py", "dta"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and "invalid choice: 'dta'" in result.stderr


def test_the_model_benchmark_compares_equal_scores_and_writes_json(tmp_path):
    printed, content = run_quick("model", tmp_path)
    assert content["benchmark"] == "model" and len(content["rows"]) == 6
    assert content["facts"]["largest difference of scores"] < 1e-4
    assert "shares of retrieval" in printed and "training step, 2 videos x 2 texts, bf16" in printed


def test_the_retrieval_benchmark_checks_what_must_be_equal_and_writes_table_and_picture(tmp_path):
    printed, content = run_quick("eval", tmp_path)
    facts = content["facts"]
    bitwise = [finding for check, finding in facts["checks"].items() if "processes" in check or "resumed" in check]
    assert bitwise == ["equal bit for bit"] * 4
    lines = {line["way"]: line for line in facts["ways"]}
    exact, most = lines["all pairs"], lines["top 12"]
    assert all(exact[key] == most[key] for key in exact if key.startswith(("t2v", "v2t"))) and most["pairs"] == 48
    assert lines["top 1"]["pairs"] < lines["top 2"]["pairs"] < 48
    assert len(facts["estimates"]) == 8 and "| ActivityNet 4.9k x 4.9k | top 10 |" in printed
    assert (tmp_path / "eval.md").read_text() in printed and (tmp_path / "eval.png").read_bytes()[1:4] == b"PNG"
