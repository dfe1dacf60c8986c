"""The files of a new dataset can be read as they are written."""

import shlex

import yaml

from clipbert_mmf.annotations import read_annotations
from clipbert_mmf.cli.skeleton import write_dataset_skeleton
from clipbert_mmf.inference.settings import read_yaml


def test_its_table_has_records_of_every_split(tmp_path):
    write_dataset_skeleton("birds", tmp_path)
    table = tmp_path / "birds" / "annotations.csv"
    counts = [len(list(read_annotations(table, "video_text", splits=[s]))) for s in ("train", "val", "test")]
    assert counts == [2, 1, 1]


def test_its_yaml_names_the_dataset_and_its_code_compiles(tmp_path):
    files = write_dataset_skeleton("birds", tmp_path)
    for path in files:
        text = path.read_text()
        assert "$name" not in text
        if path.suffix == ".py":
            compile(text, str(path), "exec")
    config = yaml.safe_load((tmp_path / "birds" / "configs" / "dataset.yaml").read_text())
    assert list(config["dataset_config"]) == ["birds"]
    training = yaml.safe_load((tmp_path / "birds" / "configs" / "train.yaml").read_text())
    assert training["evaluation"]["metrics"] == ["clipbert_retrieval"]


def test_the_command_of_the_recipe_can_be_pasted(tmp_path):
    recipe = next(path for path in write_dataset_skeleton("birds", tmp_path) if path.name == "train.yaml")
    command = recipe.read_text(encoding="utf-8").splitlines()[1].removeprefix("# ")
    options = dict(word.split("=") for word in shlex.split(command)[1:])
    assert (tmp_path / options["config"]).is_file() and (tmp_path / options["env.user_dir"]).is_dir()
    assert read_yaml(recipe)["training"]["trainer"] == "clipbert"  # and the log it shows
