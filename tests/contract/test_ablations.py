"""Every row of every ablation becomes options that the configurations have, for each task."""

import dataclasses

import pytest
import yaml

from clipbert_mmf.paths import config_dir, project_dir
from clipbert_mmf.report.ablations import load_ablations
from clipbert_mmf.video.clips import ClipOptions

ABLATIONS = load_ablations()
ROWS = [(table, row) for table, content in ABLATIONS.tables.items() for row in content.rows]
CLIP_OPTIONS = {field.name for field in dataclasses.fields(ClipOptions)}
FILES = {name: f"/{name}.pth" for name in ("bert", "tsn", "imagenet", "grid_feat", "pretrained")}


def read_defaults(dataset):
    model = yaml.safe_load((config_dir() / "models/clipbert/defaults.yaml").read_text())
    return {**model, **yaml.safe_load((config_dir() / f"datasets/{dataset}/defaults.yaml").read_text())}


def test_every_table_and_figure_of_the_paper_is_there():
    assert sorted(ABLATIONS.tables) == ["figure4", "figure5", *(f"table{i}" for i in range(1, 7))]
    assert len(ROWS) == 50
    for table in ABLATIONS.tables.values():
        assert all(len(row.label) == len(table.columns) for row in table.rows.values())


@pytest.mark.parametrize("table, row", ROWS)
def test_a_row_names_keys_that_the_configurations_have(table, row):
    content = ABLATIONS.tables[table]
    for task in ABLATIONS.tasks.values():
        overrides = {**content.defaults, **content.rows[row].overrides}
        options = ABLATIONS.write_overrides(overrides, task.dataset, files=FILES)
        assert options and len(options) == len(overrides)
        for option in options:
            *place, last = option.partition("=")[0].split(".")
            section = read_defaults(task.dataset)
            for key in place:
                assert key in section, option
                section = section[key]
            assert last in section or (place[-1] == "params" and last in CLIP_OPTIONS), option


def test_every_task_has_a_recipe_for_each_corpus_and_numbers_of_the_paper_have_names():
    known = {name for task in ABLATIONS.tasks.values() for name in task.metrics}
    for task in ABLATIONS.tasks.values():
        for corpus in ABLATIONS.corpora.values():
            assert (project_dir() / "clipbert/configs" / task.dataset / f"{corpus.recipe}.yaml").is_file()
    for table in ABLATIONS.tables.values():
        assert all(set(row.paper) <= known for row in table.rows.values())
