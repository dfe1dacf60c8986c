"""Networks of timm as backbones: the grids of ``features_only``, pixels, frozen parts, checkpointing."""

import sys

import pytest
import torch

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.build import build_network, freeze_parts
from clipbert_mmf.models.config import dump_model_config, parse_model_config
from tests.network_settings import small_config, small_settings

#: Small networks of each family: efficientnet, convnext, vit, swin (channels last), regnet, resnet.
NETWORKS = {
    "tf_efficientnet_lite0": (32, (127.5,) * 3),
    "convnext_atto.d2_in1k": (32, (123.675, 116.28, 103.53)),
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k": (16, (127.5,) * 3),
    "swin_tiny_patch4_window7_224": (32, (123.675, 116.28, 103.53)),
    "regnety_002": (32, (123.675, 116.28, 103.53)),
    "resnet18": (32, (123.675, 116.28, 103.53)),
}
FRAMES = torch.randint(0, 256, (2, 3, 96, 96), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def timm_settings(name="resnet18", **changes):
    """Return a section with a network of timm, merged with the defaults of ``grid_resnet`` as MMF does."""
    options = {f"backbone__{key}": value for key, value in changes.items()}
    return small_settings(backbone__type="timm", backbone__width=64, backbone__name=name, **options)


def build_backbone(name="resnet18", activation_checkpointing=False, **changes):
    settings = timm_settings(name, **changes)
    torch.manual_seed(0)
    return build_network(
        parse_model_config({**settings, "activation_checkpointing": activation_checkpointing})
    ).backbone


def test_without_timm_one_line_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    config = parse_model_config(timm_settings())
    with pytest.raises(ConfigurationError, match='which needs the package timm: pip install "timm'):
        build_network(config)


def test_sizes_of_the_grid_resnet_are_refused_with_what_to_type():
    settings = {**timm_settings(), "backbone": {**timm_settings()["backbone"], "depth": "resnet18"}}
    with pytest.raises(
        ConfigurationError, match=r"depth is 'resnet18'.*Set model_config.clipbert.backbone.depth=null"
    ):
        parse_model_config(settings)
    settings["backbone"]["depth"] = None
    assert parse_model_config(settings).backbone.options.name == "resnet18"


def test_a_name_without_the_type_is_refused_with_what_to_type():
    with pytest.raises(
        ConfigurationError, match="backbone.type 'grid_resnet' does not read it.*backbone.type=timm"
    ):
        small_config(backbone__name="resnet18")
    with pytest.raises(ConfigurationError, match="lacks name; set model_config.clipbert.backbone.name"):
        parse_model_config(timm_settings(name=None))


def test_pixels_of_0_to_1_are_refused():
    with pytest.raises(ConfigurationError, match=r"set pixel_std=\[58.395,57.12,57.375\]"):
        parse_model_config(timm_settings(pixel_std=[0.229, 0.224, 0.225]))
    with pytest.raises(ConfigurationError, match=r"set pixel_mean=\[127.5,127.5,127.5\]"):
        small_config(backbone__pixel_mean=[0.5, 0.5, 0.5])


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_grid_is_that_of_features_only(timm, name):
    stride, mean = NETWORKS[name]
    backbone = build_backbone(name, norm="batch", freeze_at=0).eval()
    assert backbone.pixel_mean.flatten().tolist() == pytest.approx(mean, abs=1e-3)
    grid = backbone(FRAMES)
    assert grid.shape == (2, backbone.out_channels, 96 // stride, 96 // stride)
    arguments = (
        {"dynamic_img_size": True} if "vit" in name else {"strict_img_size": False} if "swin" in name else {}
    )
    plain = timm.create_model(name, features_only=True, **arguments).eval()
    ours = {full: backbone.state_dict()[own] for own, full in backbone.full_names.items()}
    for key, value in plain.state_dict().items():
        full = next(k for k in (key, key.removeprefix("model."), key.replace("_", ".", 1)) if k in ours)
        value.copy_(ours[full])
    with torch.no_grad():
        expected = plain((FRAMES.float() - backbone.pixel_mean) / backbone.pixel_std)[-1]
    expected = expected.permute(0, 3, 1, 2) if "swin" in name else expected
    torch.testing.assert_close(grid, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_that_trains_gets_a_gradient(timm, name):
    backbone = build_backbone(name).train()
    backbone(FRAMES).square().mean().backward()
    trained = {key: p.grad is not None for key, p in backbone.named_parameters() if p.requires_grad}
    assert trained and all(trained.values())
    assert any(not p.requires_grad for p in backbone.parameters())


def test_an_earlier_grid_builds_no_later_layers(timm):
    sizes = {"res2": 24, "res4": 112, 3: 112, -1: 320, None: 320}
    for stage, channels in sizes.items():
        assert build_backbone("tf_efficientnet_lite0", out_stage=stage).out_channels == channels
    names = build_backbone("tf_efficientnet_lite0", out_stage="res4").state_dict()
    assert any("blocks.4." in name for name in names) and not any("blocks.5." in name for name in names)
    with pytest.raises(ConfigurationError, match=r"grids of stride \[16, 16.*allowed are res4, -12 to 11"):
        build_backbone("vit_tiny_patch16_224", out_stage="res5")


def test_an_unknown_name_is_named(timm):
    with pytest.raises(ConfigurationError, match=r"does not know \(did you mean 'convnext_tiny'"):
        build_backbone("convnext_tyni")


@pytest.mark.parametrize(
    "arguments",
    [{"pretrained": True}, {"features_only": False}, {"in_chans": 1}, {"checkpoint_path": "x.pth"}],
)
def test_an_argument_that_another_key_decides_is_refused(timm, arguments):
    (name,) = arguments
    with pytest.raises(ConfigurationError, match=rf"model_args has {name}=.*leave it out"):
        build_backbone("test_resnet", model_args=arguments)


@pytest.mark.parametrize("name", ["mixer_s32_224", "swin_tiny_patch4_window7_224"])
def test_frames_that_a_network_cannot_read_are_named_with_what_to_set(timm, name):
    backbone = build_backbone(name)
    with pytest.raises(
        ConfigurationError, match=rf"'{name}', which cannot read frames of 90x70.*image_size.*to 224"
    ):
        backbone(torch.zeros(2, 3, 70, 90, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("name", "freeze_at", "frozen", "trains"),
    [
        ("resnet18", 1, "conv1.", "layer1."),
        ("resnet18", 2, "layer1.", "layer2."),
        ("tf_efficientnet_lite0", 2, "blocks.1.", "blocks.2."),
        ("convnext_atto", 1, "stem.", "stages.0."),
        ("convnext_atto", 2, "stages.0.", "stages.1."),
        ("vit_tiny_patch16_224", 1, "patch_embed.", "blocks.0."),
        ("vit_tiny_patch16_224", 3, "blocks.1.", "blocks.2."),
        ("swin_tiny_patch4_window7_224", 3, "layers.1.", "layers.2."),
    ],
)
def test_parts_freeze_from_the_stem_on(timm, name, freeze_at, frozen, trains):
    backbone = build_backbone(name, freeze_at=freeze_at)
    parameters = [(key.removeprefix("net.model."), p.requires_grad) for key, p in backbone.named_parameters()]
    assert {trained for key, trained in parameters if key.startswith(frozen)} == {False}
    assert {trained for key, trained in parameters if key.startswith(trains)} == {True}


def test_a_frozen_network_keeps_its_statistics(timm):
    network = build_network(parse_model_config(timm_settings("regnety_002", norm="batch")))
    freeze_parts(network, backbone=True, transformer=False)
    network.train()
    before = {key: value.clone() for key, value in network.backbone.state_dict().items()}
    network.backbone(FRAMES)
    assert all(torch.equal(value, before[key]) for key, value in network.backbone.state_dict().items())


def test_activation_checkpointing_gives_the_same_gradients(timm):
    for norm in ("frozen_batch", "batch"):
        gradients = []
        for recompute in (False, True):
            backbone = build_backbone(
                "resnet18", recompute, norm=norm, freeze_at=0, frames_per_chunk=1
            ).train()
            backbone(FRAMES).square().mean().backward()
            gradients.append([p.grad for p in backbone.parameters()])
        for plain, recomputed in zip(*gradients, strict=True):
            torch.testing.assert_close(plain, recomputed, rtol=1e-4, atol=1e-6)


def test_own_pixels_win_with_a_warning(timm, caplog):
    backbone = build_backbone("convnext_atto", pixel_mean=[127.5] * 3, pixel_std=[127.5] * 3)
    assert backbone.pixel_std.flatten().tolist() == [127.5] * 3
    assert "were trained with [123.675, 116.28, 103.53]" in caplog.text
    assert not backbone.bgr and build_backbone("convnext_atto", bgr=True).bgr


def test_linear_layers_keep_timms_random_weights(timm):
    settings = timm_settings("vit_tiny_patch16_224")
    settings["transformer"]["init_std"] = 0.5
    network = build_network(parse_model_config(settings))
    assert float(network.backbone.net.model.blocks[0].mlp.fc1.weight.std()) < 0.1
    assert float(network.text_embedding.words.weight.std()) == pytest.approx(0.5, rel=0.2)


def test_the_configuration_survives_its_dump(timm):
    config = parse_model_config(timm_settings("vit_tiny_patch16_224", model_args={"drop_path_rate": 0.1}))
    assert parse_model_config(dump_model_config(config)) == config


def test_the_final_grid_has_the_last_stage_behind_it():
    pytest.importorskip("timm")
    name = "tf_efficientnet_lite0"
    both = build_backbone(name, out_stage="final_and_last").eval()
    final = build_backbone(name, out_stage="final").eval()
    last = build_backbone(name, out_stage="res5").eval()
    final.load_state_dict(both.state_dict())
    last.load_state_dict({key: both.state_dict()[key] for key in last.state_dict()})
    grid = both(FRAMES)
    assert grid.shape[1] == both.out_channels == 1280 + 320
    torch.testing.assert_close(grid[:, :1280], final(FRAMES))
    torch.testing.assert_close(grid[:, 1280:], last(FRAMES))


def test_a_network_that_averages_no_grid_has_no_final_one():
    pytest.importorskip("timm")
    with pytest.raises(
        ConfigurationError, match=r"out_stage is 'final_and_last', and 'vit_tiny.* take a stage"
    ):
        build_backbone("vit_tiny_patch16_224", out_stage="final_and_last")
