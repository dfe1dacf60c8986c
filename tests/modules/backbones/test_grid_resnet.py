"""The grid backbone against torchvision's ResNet, and the parts of it that train."""

import pytest
import torch
import torchvision
from torch import nn

from clipbert_mmf.modules.backbones.grid_resnet import PIXEL_MEAN, Conv, GridResnet, GridResnetOptions
from tests.modules.filling import fill


def torchvision_state(reference: nn.Module) -> dict[str, torch.Tensor]:
    """Rename torchvision's ResNet to ours."""
    state = {}
    for name, value in reference.state_dict().items():
        parts = name.split(".")
        if "num_batches_tracked" in name or parts[0] == "fc":
            continue
        if parts[0] in ("conv1", "bn1"):
            state[".".join(["stem", "conv" if parts[0] == "conv1" else "norm", *parts[1:]])] = value
            continue
        stage, block = f"res{int(parts[0][5:]) + 1}", parts[1]
        if parts[2] == "downsample":
            inner = ["shortcut", "conv" if parts[3] == "0" else "norm"]
        else:
            kind = "conv" if parts[2].startswith("conv") else "norm"
            inner = ["path", str(int(parts[2][-1]) - 1), kind]
        state[".".join(["stages", stage, block, *inner, parts[-1]])] = value
    return state


@pytest.mark.parametrize("depth", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stride_in_1x1", [False, True])
def test_backbone_equals_torchvisions_with_moved_strides_and_frozen_norm(depth, stride_in_1x1):
    reference = getattr(torchvision.models, depth)(
        weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d
    ).eval()
    if depth == "resnet50" and stride_in_1x1:
        for layer in (reference.layer2, reference.layer3, reference.layer4):
            layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    fill(reference)
    ours = GridResnet(GridResnetOptions(depth, stride_in_1x1=stride_in_1x1, bgr=True))
    ours.load_state_dict(torchvision_state(reference), strict=True)
    frames = torch.arange(2 * 3 * 64 * 96).remainder(256).to(torch.uint8).view(2, 3, 64, 96)
    normal = (frames.float() - torch.tensor(PIXEL_MEAN).view(3, 1, 1)).flip(1)
    x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(normal))))
    for layer in (reference.layer1, reference.layer2, reference.layer3, reference.layer4):
        x = layer(x)
    got = ours(frames)
    assert got.shape == (2, ours.out_channels, 2, 3)
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)


def test_stem_and_res2_do_not_train_by_default_and_norms_are_frozen():
    backbone = GridResnet(GridResnetOptions("resnet18", width=8))
    trainable = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert trainable and not any(name.startswith(("stem", "stages.res2")) for name in trainable)
    assert not any("norm" in name for name, _ in backbone.named_parameters())


@pytest.mark.parametrize("uses_onednn", [True, False])
@pytest.mark.parametrize("has_residual", [True, False])
def test_a_folded_frozen_norm_gives_the_values_and_gradients_of_one_of_its_own(uses_onednn, has_residual):
    """Without oneDNN it is the path of a card: a convolution with bias, a sum and ReLU."""
    torch.manual_seed(0)
    conv = Conv(6, 8, 3, 2, "frozen_batch")
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(conv.norm, name).copy_(torch.rand(8) + 0.5)
    frames, residual = torch.randn(2, 6, 9, 9), torch.randn(2, 8, 5, 5) if has_residual else None

    def run(fold):
        inputs = [None if value is None else value.clone().requires_grad_() for value in (frames, residual)]
        if fold:
            found = conv(*inputs)
        else:
            normed = conv.norm(conv.conv(inputs[0]))
            found = torch.relu(normed if inputs[1] is None else normed + inputs[1])
        leaves = [conv.conv.weight, *(value for value in inputs if value is not None)]
        return [found, *torch.autograd.grad(found.square().sum(), leaves)]

    with torch.backends.mkldnn.flags(enabled=uses_onednn):
        for found, expected in zip(run(True), run(False), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
