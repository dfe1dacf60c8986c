"""The first files of a dataset name it everywhere and can be read."""

import yaml

from clipbert_mmf.cli.skeleton import write_dataset_skeleton


def test_every_file_has_the_name_and_every_yaml_loads(tmp_path):
    written = write_dataset_skeleton("my_clips", tmp_path / "deep")
    texts = {path.name: path.read_text(encoding="utf-8") for path in written}
    assert not any("$name" in text for text in texts.values())
    assert yaml.safe_load(texts["dataset.yaml"])["dataset_config"]["my_clips"]["data_dir"].startswith(
        "${env."
    )
    assert yaml.safe_load(texts["train.yaml"])["training"]["trainer"] == "clipbert"
    compile(texts["__init__.py"], "__init__.py", "exec")


def test_the_command_of_the_recipe_can_be_pasted(tmp_path):
    recipe = next(path for path in write_dataset_skeleton("my_clips", tmp_path) if path.name == "train.yaml")
    first, second = recipe.read_text(encoding="utf-8").splitlines()[1:3]
    assert first.endswith(" \\") and not first.endswith("\\\\")
    assert second.strip("# ").startswith("dataset_config.my_clips.data_dir=")
