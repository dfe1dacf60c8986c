"""The table of a retrieval run, from the file that the run writes."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "tools" / "quickstart_table.py"


def print_table(run: Path) -> subprocess.CompletedProcess:
    options = ["--run", str(run), "--seconds", "60", "--out", str(run / "results.json")]
    return subprocess.run(
        [sys.executable, str(PROGRAM), *options], capture_output=True, text=True, timeout=60
    )


def test_the_table_shows_the_last_test_beside_chance(tmp_path):
    names = ("r1", "r5", "r10", "median_rank", "mean_rank")
    numbers = {f"{way}_{name}": 0.25 for way in ("t2v", "v2t") for name in names}
    numbers |= {"num_items": 50.0, "num_unreadable": 1.0}
    records = [
        {
            "split": split,
            "metrics": {
                f"{split}/msrvtt_retrieval/clipbert_retrieval/{k}": v * scale for k, v in numbers.items()
            },
        }
        for split, scale in (("val", 2), ("test", 3), ("test", 1))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = print_table(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "25.0 %          25.0 %     2.0 %" in done.stdout
        and "50 videos, 2500 pairs, 1 unreadable" in done.stdout
    )
    metrics = json.loads((tmp_path / "results.json").read_text())["metrics"]
    assert metrics["clipbert_retrieval/t2v_r1"] == 0.25
    interval = {
        "dataset": "msrvtt_retrieval",
        "metric": "clipbert_retrieval/t2v_r1",
        "interval": [0.13, 0.38],
    }
    records[-1]["results"] = [interval]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    printed = print_table(tmp_path).stdout
    assert "25.0 % (13.0 to 38.0)" in printed and "95 % intervals over videos" in printed


def test_a_run_without_a_test_is_named(tmp_path):
    done = print_table(tmp_path)
    assert done.returncode != 0 and "neither config.yaml nor metrics.jsonl" in done.stderr
    (tmp_path / "metrics.jsonl").write_text(
        '{"split": "val", "metrics": {"val/msrvtt_retrieval/a/b": 1.0}}\n'
    )
    done = print_table(tmp_path)
    assert done.returncode != 0 and "has no metrics of 'test' of msrvtt_retrieval" in done.stderr
