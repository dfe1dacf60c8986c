"""Every shipped recipe passes the checks that are made before a run is built."""

import argparse
from pathlib import Path

import mmf  # noqa: F401
import pytest
from mmf.utils.configuration import Configuration, load_yaml

CONFIGS = Path(__file__).resolve().parents[2] / "projects" / "clipbert" / "configs"
FOLDERS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_recipe_is_a_configuration_that_can_be_run(folder):
    for path in sorted((CONFIGS / folder).glob("*.yaml")):
        sections = load_yaml(str(path))
        names = list(sections.get("dataset_config", {}))
        datasets = [",".join(names)] if folder == "multitask" else names
        for model in sections.get("model_config", {"clipbert": None}):
            for dataset in datasets:
                options = [f"config={path}", f"model={model}", f"dataset={dataset}"]
                Configuration(argparse.Namespace(opts=options, config_override=None))
