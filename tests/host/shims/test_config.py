"""Configurations as the patched MMF reads them."""

import mmf  # noqa: F401
import pytest
from mmf.utils.configuration import load_yaml

from tests.host.shim_checks import make_config


def test_our_configurations_are_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "clipbert" in load_yaml("configs/models/clipbert/defaults.yaml").model_config
    (tmp_path / "configs/models/clipbert").mkdir(parents=True)
    (tmp_path / "configs/models/clipbert/defaults.yaml").write_text("mine: 1")
    assert load_yaml("configs/models/clipbert/defaults.yaml").mine == 1


@pytest.mark.parametrize(
    "word, value", [("null", None), ("true", True), ("false", False), ("7", 7), ("a=b", "a=b")]
)
def test_a_word_of_the_command_line_means_what_it_means_in_yaml(word, value):
    assert make_config(f"training.experiment_name={word}").training.experiment_name == value
