"""The table of the demo runs has a row for each run that was tested, beside the chance of its annotations."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from demo_table import compare, make_table

sys.path.pop(0)
from clipbert_mmf.scoring.outcomes import Outcomes, write_outcomes
from clipbert_mmf.tasks.datasets import SPECS


def test_a_result_stands_beside_chance(tmp_path):
    questions = [
        {"question": "what", "answer": word, "video_id": 1, "id": n, "category_id": 0}
        for n, word in enumerate("aabb")
    ]
    (tmp_path / "test.json").write_text(json.dumps(questions))
    run = tmp_path / "msrvtt_qa"
    run.mkdir()
    section = {"data_dir": str(tmp_path), "annotations": {"test": [{"file": "test.json"}]}}
    (run / "config.yaml").write_text(
        yaml.safe_dump({"datasets": "msrvtt_qa", "dataset_config": {"msrvtt_qa": section}})
    )
    metrics = {"test/msrvtt_qa/clipbert_answers/accuracy": 0.75}
    (run / "metrics.jsonl").write_text(json.dumps({"split": "test", "metrics": metrics}) + "\n")
    (run / "seconds").write_text("7")
    row = compare(SPECS["msrvtt_qa"], tmp_path)
    assert row["result"] == 0.75 and row["chance"] == 0.5 and row["times_chance"] == 1.5
    assert "| `msrvtt_qa` | accuracy | 75.0 % |  | 50.0 % | 1.5x | 7 |" in make_table([row])
    assert "One seed." in make_table([row])
    name, media = "test/msrvtt_qa/clipbert_answers/accuracy", np.arange(8)
    write_outcomes(
        run / "outcomes_test_msrvtt_qa.npz", {name: Outcomes((media < 6) * 1.0, media, is_share=True)}
    )
    shutil.copytree(run, tmp_path / "seed_2" / "msrvtt_qa")
    (tmp_path / "seed_2" / "msrvtt_qa" / "metrics.jsonl").write_text(
        json.dumps({"split": "test", "metrics": {name: 0.25}}) + "\n"
    )
    write_outcomes(
        tmp_path / "seed_2" / "msrvtt_qa" / "outcomes_test_msrvtt_qa.npz",
        {name: Outcomes((media < 2) * 1.0, media, is_share=True)},
    )
    row = compare(SPECS["msrvtt_qa"], tmp_path)
    assert row["result"] == 0.5 and row["num_seeds"] == 2 and row["interval"][0] < 0.5 < row["interval"][1]
    table = make_table([row])
    low, high = row["interval"]
    assert f"| 50.0 ± 35.4 % | {100 * low:.1f} to {100 * high:.1f} |" in table and "Means of 2 seeds" in table


def test_what_has_not_run_has_no_row(tmp_path):
    assert [compare(spec, tmp_path) for spec in SPECS.values()] == [None] * len(SPECS)
