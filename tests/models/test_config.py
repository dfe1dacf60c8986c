"""The network's configuration: its defaults, the errors of its keys, and the way there and back."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import ModelConfig, dump_model_config, parse_model_config
from clipbert_mmf.modules.backbones.registry import BACKBONES, register_backbone
from clipbert_mmf.modules.heads import HEADS, HeadKind, PairHead, register_head
from clipbert_mmf.paths import config_dir
from tests.network_settings import read_settings, small_config, small_settings


def test_the_packaged_yaml_has_every_key_with_its_default():
    def read_keys(section):
        return {key: read_keys(value) if isinstance(value, dict) else None for key, value in section.items()}

    written, own = read_settings(), dump_model_config(ModelConfig())
    for key in ("name", "model_args"):  # of timm
        assert written["backbone"].pop(key) is None
    assert read_keys(own) == read_keys(written)
    assert parse_model_config(read_settings()) == parse_model_config({}) == ModelConfig()


def test_a_configuration_survives_its_dump():
    heads = {"a": {"type": "regress", "std": 2.0}, "b": {"type": "regress", "shares": "a", "fold": "sum"}}
    config = small_config(heads=heads, backbone__norm="group", weights__backbone="/x")
    assert config != ModelConfig() and parse_model_config(dump_model_config(config)) == config


def test_the_key_that_mmf_adds_is_ignored_and_any_other_is_an_error():
    assert parse_model_config({"model": "clipbert"}) == ModelConfig()
    with pytest.raises(
        ConfigurationError, match=r"model_config\.clipbert\.hed is unknown \(did you mean 'head'"
    ):
        parse_model_config({"hed": {}})


@dataclass(frozen=True)
class StripesOptions:
    num_stripes: int = 2
    depth: int = 1


class Stripes(nn.Module):
    """A backbone of one convolution."""

    def __init__(self, options: StripesOptions, recompute: bool):
        super().__init__()
        self.out_channels = options.num_stripes
        self.conv = nn.Conv2d(3, options.num_stripes, 32, 32)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.conv(frames.float() / 255)


def test_a_backbone_of_ones_own_reads_its_own_options():
    register_backbone("stripes", StripesOptions, Stripes)
    try:
        section = read_settings()  # with the defaults of grid_resnet, as MMF merges them
        section["backbone"].update(type="stripes", num_stripes=4)
        section["transformer"] = small_settings()["transformer"]
        network = build_network(parse_model_config(section)).eval()
        ids = torch.ones(1, 2, 5, dtype=torch.int64)
        frames = torch.zeros(1, 2, 1, 3, 64, 64, dtype=torch.uint8)
        assert network(frames, ids, ids, ids * 0)["scores"].shape == (2, 2)
        assert network.grid_encoder.conv.in_channels == 4
        # The default of grid_resnet's option of the same name does not reach it.
        assert parse_model_config(section).backbone.options == StripesOptions(4, 1)
        section["backbone"]["width"] = 32
        with pytest.raises(
            ConfigurationError,
            match=r"does not read it; it has depth, num_stripes. Set model_config\.clipbert\.backbone\.width=null",
        ):
            parse_model_config(section)
        with pytest.raises(ValueError, match="a backbone 'stripes' is registered already"):
            register_backbone("stripes", StripesOptions, nn.Identity)
    finally:
        BACKBONES.pop("stripes")


def test_an_unknown_backbone_is_named():
    with pytest.raises(
        ConfigurationError, match=r"backbone\.type is 'grid_resnett' \(did you mean 'grid_resnet'"
    ):
        small_config(backbone__type="grid_resnett")


class ScaledHead(PairHead):
    """A pair head whose scores are multiplied."""

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float, scale: float = 1.0):
        super().__init__(hidden_size, num_outputs, dropout)
        self.scale = scale


def test_a_head_of_ones_own_reads_its_own_settings():
    register_head("scaled", HeadKind(2, ScaledHead, settings=("scale",)))
    try:
        config = small_config(head={"type": "scaled", "scale": 3.0, "mean": 0.0})
        assert build_network(config).head.scale == 3.0
        assert parse_model_config(dump_model_config(config)) == config
        with pytest.raises(ConfigurationError, match=r"head\.scael is unknown \(did you mean 'scale'"):
            small_config(head={"type": "scaled", "scael": 3.0})
    finally:
        HEADS.pop("scaled")


def test_every_model_file_of_the_package_parses():
    for path in Path(config_dir() / "models" / "clipbert").glob("*.yaml"):
        parse_model_config(yaml.safe_load(path.read_text(encoding="utf-8"))["model_config"]["clipbert"])
