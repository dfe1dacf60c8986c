"""Configuration files with includes, and lines of JSON, are read without MMF."""

import json

import pytest

from clipbert_mmf.inference.settings import (
    RecipeError,
    load_model_config,
    merge,
    read_json_lines,
    read_run_records,
    read_yaml,
    select,
)


def test_included_files_come_first_and_are_changed_section_by_section(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "base.yaml").write_text("a: {x: 1, y: 2}\nb: 3\n")
    (tmp_path / "top.yaml").write_text("includes: [deep/base.yaml]\na: {y: 5}\n")
    assert read_yaml(tmp_path / "top.yaml") == {"a": {"x": 1, "y": 5}, "b": 3}


def test_a_file_of_ours_is_included_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = "projects/clipbert/configs/video_text_csv/counts.yaml"
    (tmp_path / "mine.yaml").write_text(f"includes: [{recipe}]\ntraining: {{max_epochs: 3}}\n")
    found = read_yaml("mine.yaml")
    assert (
        found["training"]["max_epochs"] == 3
        and found["model_config"]["clipbert"]["head"]["type"] == "regress"
    )


def test_merging_changes_neither_side():
    base, changes = {"a": {"x": 1}}, {"a": {"y": 2}, "b": None}
    assert merge(base, changes) == {"a": {"x": 1, "y": 2}, "b": None}
    assert base == {"a": {"x": 1}} and changes == {"a": {"y": 2}, "b": None}


@pytest.mark.parametrize(
    "content, message",
    [("a: [", "is not a YAML file"), ("- 1\n", "it holds list, expected a mapping"), ("", "holds NoneType")],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path, content, message):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(RecipeError, match=message):
        read_yaml(tmp_path / "x.yaml")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "content, message",
    [
        ("a: " + "[" * 5000 + "]" * 5000, "is nested too deep to be a configuration"),
        ("a: &a [*a]\n", "has more than 1000000 values"),
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            "has more than 1000000 values, each mention of an alias counted",
        ),
        ("includes: [b.yaml]\n", r"x.yaml includes itself: .*x.yaml includes .*b.yaml includes .*x.yaml"),
        ("includes: x.yaml\n", "includes is 'x.yaml'; expected a list of files"),
        ("includes: [[1]]\n", "expected a list of files"),
        ("a: 2020-99-99\n", "is not a YAML file"),
    ],
)
def test_a_file_without_end_is_named_and_takes_no_memory(tmp_path, content, message):
    (tmp_path / "x.yaml").write_text(content)
    (tmp_path / "b.yaml").write_text("includes: [x.yaml]\n")
    with pytest.raises(RecipeError, match=message) as raised:
        read_yaml(tmp_path / "x.yaml")
    assert "\n" not in str(raised.value)


def test_a_missing_key_is_named_in_full():
    assert select({"a": {"b": 0}}, "a.b", "x.yaml") == 0
    with pytest.raises(RecipeError, match=r"x\.yaml has no a\.c"):
        select({"a": {"b": 0}}, "a.c", "x.yaml")


def test_absent_keys_of_a_model_keep_the_papers_values(tmp_path):
    (tmp_path / "x.yaml").write_text("model_config: {clipbert: {fold: max}}\n")
    model = load_model_config(tmp_path / "x.yaml")
    assert model.fold == "max" and model.transformer.num_layers == 12


def test_a_line_that_a_kill_cut_off_is_skipped(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n[2]\n{"a": 2')
    assert read_json_lines(tmp_path / "x.jsonl") == [{"a": 1}]
    assert read_json_lines(tmp_path / "none.jsonl") == []


def test_an_evaluation_in_a_runs_folder_counts_where_it_is_of_that_run(tmp_path):
    run, other = tmp_path / "a" / "run", tmp_path / "b" / "run"
    for folder in (run, other):
        (folder / "models").mkdir(parents=True)
        (folder / "models" / "model_4.ckpt").touch()
        (folder / "best.ckpt").touch()
    (run / "metrics.jsonl").write_text('{"split": "val"}\n')
    tested = [
        run / "best.ckpt",
        run / "models/model_4.ckpt",
        other / "best.ckpt",
        other / "models/model_4.ckpt",
    ]
    moved = ["/gone/run/best.ckpt", "/gone/run/models/model_4.ckpt", "/gone/other/models/model_4.ckpt"]
    for number, checkpoint in enumerate([*map(str, tested), *moved]):
        folder = run / f"test-2026-11-26T10-00-0{number}"
        folder.mkdir()
        (folder / "metrics.jsonl").write_text(json.dumps({"split": number, "checkpoint": checkpoint}) + "\n")
    assert [record["split"] for record in read_run_records(run)] == ["val", 0, 1, 4, 5]
    assert read_run_records(tmp_path / "none") == []
