"""``clipbert evaluate`` computes metrics from a file of predictions and writes the forms of benchmarks."""

import csv
import json

from clipbert_mmf.cli.main import main

RECORDS = [
    {
        "dataset": "msrvtt_retrieval",
        "task": "retrieval",
        "item": item,
        "media_id": f"v{item}",
        "readable": True,
        "clips": [],
        "right_text_ids": [f"t{item}"],
        "texts": [
            {"text_id": f"t{number}", "text": "a", "probability": 0.5, "rank": rank, "right": number == item}
            for rank, number in enumerate(sorted(range(2), key=lambda n: -(n == item)), 1)
        ],
        "scores": {f"t{number}": float(number == item) for number in range(2)},
    }
    for item in range(2)
]


def test_metrics_are_printed_and_ranks_are_written(tmp_path, capsys):
    (tmp_path / "p.json").write_text(json.dumps(RECORDS))
    arguments = ["evaluate", str(tmp_path / "p.json"), "--ranks", str(tmp_path / "r.csv"), "--depth", "1"]
    assert main(arguments) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(lines["clipbert_retrieval/t2v_r1"]) == 1.0
    with (tmp_path / "r.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    assert main(["evaluate", str(tmp_path / "p.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clipbert_retrieval/t2v_r1"] == 1.0


def test_another_file_is_named(tmp_path, capsys):
    (tmp_path / "p.json").write_text("{}")
    assert main(["evaluate", str(tmp_path / "p.json")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("clipbert evaluate: ") and "p.json" in error and len(error.splitlines()) == 1
