"""Everything that is registered: names were free, every YAML loads and names only what exists."""

from dataclasses import fields
from pathlib import Path

import mmf  # noqa: F401
import pytest
from mmf.common.registry import registry
from mmf.utils.configuration import load_yaml
from omegaconf import OmegaConf

from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.tasks.datasets import SPECS

ROOT = Path(__file__).resolve().parents[2]
#: The table of ablations is no configuration; ``test_ablations`` loads each of its rows.
YAMLS = sorted(
    path
    for folder in ("configs", "projects")
    for path in (ROOT / folder).rglob("*.yaml")
    if path.name not in ("ablations.yaml", "reproduce.yaml")
)
#: Kind in MMF's registry -> names of ours.
OURS = {
    "model": {"clipbert"},
    "builder": set(SPECS),
    "processor": {"clipbert_text", "clipbert_video", "clipbert_image"},
    "trainer": {"clipbert"},
}
OF_A_KIND = ("loss", "metric", "scheduler")
#: MMF's own trainers, whose runs are checked at start; ``docs/differences.md`` has the limits.
CHECKED_TRAINERS = {"base_trainer", "mmf", "lightning"}


def mapping(kind: str) -> dict:
    return registry.mapping[f"{kind}_name_mapping"]


@pytest.mark.parametrize("kind", sorted(OURS))
def test_our_names_resolve_to_our_classes(kind):
    for name in OURS[kind]:
        assert mapping(kind)[name].__module__.startswith("clipbert_mmf"), name


def test_our_classes_took_no_name_of_mmfs():
    for kind in [*OURS, *OF_A_KIND]:
        for name, value in mapping(kind).items():
            if value.__module__.startswith("clipbert_mmf"):
                is_checked = kind == "trainer" and name in CHECKED_TRAINERS
                assert name.startswith("clipbert") or name in SPECS or is_checked, f"{kind} {name}"
                assert "." not in name


def test_no_loss_name_trips_mmf():
    for name in mapping("loss"):
        assert not (name.startswith("multi") and mapping("loss")[name].__module__.startswith("clipbert_mmf"))


def types_in(node, path=()):
    """Yield path and value of every ``type`` of a configuration."""
    if hasattr(node, "items"):
        for key, value in node.items():
            if key == "type" and isinstance(value, str):
                yield path, value
            else:
                yield from types_in(value, (*path, key))
    elif isinstance(node, list):
        for value in node:
            yield from types_in(value, path)


def test_there_are_configurations():
    assert len(YAMLS) >= 7


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_yaml_loads_and_names_what_exists(path):
    import torch

    config = OmegaConf.to_container(load_yaml(str(path)), resolve=False)
    known_sections = {
        "model_config",
        "dataset_config",
        "training",
        "optimizer",
        "scheduler",
        "evaluation",
        "checkpoint",
        "multitasking",
        "distributed",
        "env",
    }
    assert set(config) <= known_sections, set(config) - known_sections
    for name, section in config.get("model_config", {}).items():
        assert name in mapping("model"), name
        if name == "clipbert":
            parse_model_config(section)
    for place, value in types_in(config):
        if place[2:3] == ("processors",) and len(place) == 4:
            assert value in mapping("processor"), (place, value)
        elif "losses" in place:
            assert value in mapping("loss"), (place, value)
        elif place[:1] == ("optimizer",):
            assert hasattr(torch.optim, value) or value in mapping("optimizer")
        elif place[:1] == ("scheduler",):
            assert value in mapping("scheduler")
    for metric in config.get("evaluation", {}).get("metrics", []):
        assert (metric["type"] if isinstance(metric, dict) else metric) in mapping("metric"), metric
    for name, section in config.get("dataset_config", {}).items():
        if name not in SPECS:
            assert name in mapping("builder"), name
            continue
        for processor in section.get("processors", {}).values():
            if "type" in processor:
                known = {field.name for field in fields(mapping("processor")[processor["type"]].OPTIONS)}
                assert set(processor.get("params", {})) <= known


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_dataset_has_a_default_configuration(name):
    path = registry.get_builder_class(name).config_path()
    section = OmegaConf.to_container(load_yaml(path), resolve=False)["dataset_config"][name]
    assert Path(path).is_absolute()
    for key in ("annotations", "media"):
        assert set(section[key]) == {"train", "val", "test"}
