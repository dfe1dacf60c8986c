"""Sections and configurations of ``model_config.clipbert`` for tests.

The packaged one, changed where a test says so.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

from clipbert_mmf.models.config import ModelConfig, parse_model_config
from clipbert_mmf.paths import config_dir


def read_settings(**changes: Any) -> dict[str, Any]:
    """Return the paper's section; ``transformer__num_layers=2`` changes ``transformer.num_layers``."""
    text = (config_dir() / "models" / "clipbert" / "defaults.yaml").read_text(encoding="utf-8")
    settings = copy.deepcopy(yaml.safe_load(text)["model_config"]["clipbert"])
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            settings[section][name] = value
        else:
            settings[section] = value
    return settings


def small_settings(**changes: Any) -> dict[str, Any]:
    """Return the section of a ResNet-50 and a BERT of a few thousand numbers, the paper's in everything but size."""
    small = {
        "backbone__width": 4,
        "transformer__hidden_size": 16,
        "transformer__num_layers": 2,
        "transformer__num_heads": 4,
        "transformer__intermediate_size": 64,
        "transformer__vocab_size": 50,
        "transformer__max_positions": 24,
    }
    return read_settings(**{**small, **changes})


def small_config(**changes: Any) -> ModelConfig:
    """Return the configuration of ``small_settings``."""
    return parse_model_config(small_settings(**changes))
