"""The parts of the network against libraries' own, and what each must keep to."""

import pytest
import torch
import torchvision
from torch import nn
from transformers import BertConfig, BertModel

from clipbert_mmf.modules.backbones.grid_resnet import PIXEL_MEAN, GridResnet, GridResnetOptions
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.modules.grid_encoder import GridEncoder
from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS


def fill(module: nn.Module) -> None:
    """Give every parameter and buffer values that depend on its size alone."""
    for name, value in list(module.named_parameters()) + list(module.named_buffers()):
        if not value.dtype.is_floating_point or name.startswith("pixel"):
            continue
        ramp = torch.linspace(-1, 1, value.numel()).sin() * 0.3
        if "running_var" in name:
            ramp = ramp.abs() + 0.5
        with torch.no_grad():
            value.copy_(
                ramp.view(value.shape) / max(1.0, value[0].numel() ** 0.5 if value.dim() > 1 else 1.0)
            )


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


@pytest.mark.parametrize("image_size, grid", [(448, 7), (768, 12)])
def test_grid_sizes_are_the_papers(image_size, grid):
    backbone = GridResnet(GridResnetOptions("resnet18", width=8))
    encoder = GridEncoder(backbone.out_channels, 16)
    frames = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
    assert encoder(backbone(frames)).shape == (1, 16, grid, grid)


def test_stem_and_res2_do_not_train_by_default_and_norms_are_frozen():
    backbone = GridResnet(GridResnetOptions("resnet18", width=8))
    trainable = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert trainable and not any(name.startswith(("stem", "stages.res2")) for name in trainable)
    assert not any("norm" in name for name, _ in backbone.named_parameters())


@pytest.mark.parametrize("name", sorted(TEMPORAL_FUSIONS))
def test_fusion_keeps_the_grid_and_passes_gradients(name):
    fusion = TEMPORAL_FUSIONS[name](4)
    grids = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    fused = fusion(grids)
    assert fused.shape == (2, 4, 5, 6)
    fused.sum().backward()
    assert grids.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in fusion.parameters())


def test_visual_tokens_are_row_by_row_and_normalised():
    embedding = VisualEmbedding(8, max_rows=5, max_columns=6).eval()
    fill(embedding)
    grid = torch.randn(2, 8, 3, 4)
    tokens = embedding(grid)
    place = embedding.rows.weight[2] + embedding.columns.weight[1] + embedding.token_type.weight[0]
    expected = nn.functional.layer_norm(
        grid[1, :, 2, 1] + place, (8,), embedding.norm.weight, embedding.norm.bias, 1e-12
    )
    assert tokens.shape == (2, 12, 8)
    torch.testing.assert_close(tokens[1, 2 * 4 + 1], expected)


def test_pixel_random_sampling_is_for_training_alone():
    embedding = VisualEmbedding(8, num_sampled=5, dropout=0.0)
    grid = torch.randn(2, 8, 4, 4)
    assert embedding.train()(grid).shape == (2, 5, 8)
    assert embedding.eval()(grid).shape == (2, 16, 8)


def test_a_grid_beyond_the_tables_is_an_error():
    with pytest.raises(ValueError, match="a grid of 4x4 exceeds the 3 row"):
        VisualEmbedding(8, max_rows=3)(torch.zeros(1, 8, 4, 4))


def bert_pair():
    config = BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=20,
        attn_implementation="eager",
    )
    reference = BertModel(config).eval()
    fill(reference)
    text, encoder = TextEmbedding(50, 24, 20).eval(), CrossEncoder(24, 3, 4, 40).eval()
    theirs = reference.state_dict()
    names = {
        "words": "word_embeddings",
        "positions": "position_embeddings",
        "types": "token_type_embeddings",
        "norm": "LayerNorm",
    }
    text.load_state_dict(
        {
            name: theirs[".".join(["embeddings", names[name.split(".")[0]], name.split(".")[1]])]
            for name in text.state_dict()
        }
    )
    inner = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    state = {}
    for name in encoder.state_dict():
        parts = name.split(".")
        if parts[0] == "pooler":
            state[name] = theirs[f"pooler.dense.{parts[1]}"]
        else:
            state[name] = theirs[f"encoder.layer.{parts[1]}.{inner[parts[2]]}.{parts[3]}"]
    encoder.load_state_dict(state)
    return reference, text, encoder


def test_text_path_equals_hugging_faces_bert():
    reference, text, encoder = bert_pair()
    ids = torch.arange(2 * 9).remainder(50).view(2, 9)
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    expected = reference(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids))
    nothing_seen = torch.zeros(2, 0, 24)
    rows, pooled = encoder(text(ids, torch.zeros_like(ids)), mask, nothing_seen, keep_text=True)
    torch.testing.assert_close(rows[0], expected.last_hidden_state[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rows[1, :6], expected.last_hidden_state[1, :6], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=1e-5, atol=1e-5)


def test_the_last_layer_gives_cls_the_same_alone():
    _, text, encoder = bert_pair()
    ids = torch.arange(8).view(2, 4)
    embedded, mask, visual = text(ids, torch.zeros_like(ids)), torch.ones(2, 4), torch.randn(2, 5, 24)
    alone = encoder(embedded, mask, visual)
    whole = encoder(embedded, mask, visual, keep_text=True)
    assert alone[0].shape == (2, 1, 24) and whole[0].shape == (2, 4, 24)
    torch.testing.assert_close(alone[1], whole[1])


def test_padding_of_texts_changes_nothing():
    _, text, encoder = bert_pair()
    ids, visual = torch.arange(4).view(1, 4), torch.randn(1, 5, 24)
    padded = torch.cat([ids, torch.full((1, 6), 7)], 1)
    mask = torch.tensor([[1] * 4 + [0] * 6])
    short = encoder(text(ids, torch.zeros_like(ids)), torch.ones(1, 4), visual)[1]
    long = encoder(text(padded, torch.zeros_like(padded)), mask, visual)[1]
    torch.testing.assert_close(short, long)
