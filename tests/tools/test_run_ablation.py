"""Every row of every ablation changes what it says, and nothing else."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from run_ablation import ABLATIONS, Ablation, make_table, read_options  # noqa: E402

INDEX = json.loads((ABLATIONS / "index.json").read_text(encoding="utf-8"))
ROWS = [(name, row["file"]) for name, entry in INDEX.items() for row in entry["rows"]]
FILES = {name: f"/{name}.pth" for name in ("bert", "tsn", "imagenet", "grid_feat", "pretrained")}


def test_every_file_is_a_row_and_every_table_of_the_paper_is_there():
    assert sorted(INDEX) == ["figure4", "figure5", *(f"table{i}" for i in range(1, 7))]
    files = {(path.parent.name, path.name) for path in ABLATIONS.glob("*/*.yaml")}
    assert files == set(ROWS) and len(files) == len(ROWS)


@pytest.mark.parametrize("name, file", ROWS)
def test_a_row_becomes_options_of_either_dataset(name, file):
    for dataset in ("msrvtt_retrieval", "tgif_qa_frameqa"):
        options = read_options(ABLATIONS / name / file, dataset, 448, FILES)
        assert options and all("=" in option for option in options)
        assert all(dataset in option for option in options if option.startswith("dataset_config"))


def test_frames_are_scaled_and_missing_weights_leave_a_row_out():
    path = ABLATIONS / "table1" / "L768.yaml"
    assert "dataset_config.d.processors.eval_media_processor.params.image_size=112" in read_options(
        path, "d", 64, {}
    )
    assert read_options(ABLATIONS / "table5" / "tsn_bert.yaml", "d", 64, {"bert": "x"}) is None


def test_the_table_shows_ours_beside_the_papers():
    rows = [
        {"label": ["lse", "2"], "paper": {"t2v_r1": 15.5}, "ours": {"t2v_r1": 0.25, "seconds": 3.2}},
        {"label": ["lse", "16"], "paper": {"t2v_r1": 17.4}, "ours": {}},
    ]
    table = make_table({"columns": ["fold", "N_train"]}, rows).splitlines()
    assert table[0] == "| fold | N_train | t2v_r1 | paper: t2v_r1 | seconds |"
    assert table[2:] == ["| lse | 2 | 25.0 | 15.5 | 3 |", "| lse | 16 |  | 17.4 | not run |"]


def make_ablation(save, runs, updates, rows=("*",)):
    ablation = Ablation(
        Namespace(
            table="table3",
            corpus="demo",
            task="qa",
            start=None,
            weights=[],
            rows=list(rows),
            updates=updates,
            save=save,
            options=[],
        )
    )

    def run_row(folder, options):
        folder.mkdir(parents=True, exist_ok=True)
        runs.append(folder.name)
        return {"qa_accuracy": 0.5, "seconds": 1.0}

    ablation.run_row = run_row
    return ablation


def test_a_finished_row_is_shown_and_not_run_again_unless_its_options_changed(tmp_path):
    runs = []
    make_ablation(tmp_path, runs, 3, ["lse_*"]).run()
    assert runs == ["lse_N2", "lse_N16"]
    rows = make_ablation(tmp_path, runs, 3, ["single", "lse_N2"]).run()
    assert runs[2:] == ["single"]
    assert [row["file"] for row in rows if row["ours"]] == ["single.yaml", "lse_N2.yaml", "lse_N16.yaml"]
    make_ablation(tmp_path, runs, 4, ["single"]).run()
    assert runs[3:] == ["single"]
