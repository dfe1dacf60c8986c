"""The released model's arithmetic, straight from a state dict with its names and nothing of ours.

Written from the paper's description and the documented semantics of Detectron2 and BERT, one function per
part, so that a wrong name, order, stride, padding or epsilon of ours shows as a different number.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
#: Bottlenecks per stage of ResNet-50.
BLOCKS = {"res2": 3, "res3": 4, "res4": 6, "res5": 3}


def filled(*shape: int, seed: int, spread: float, centre: float = 0.0) -> Tensor:
    """Numbers that are the same on every machine and version: no generator of a library is asked."""
    count = torch.Size(shape).numel()
    steps = torch.arange(count, dtype=torch.int64)
    mixed = (steps * 1103515245 + seed * 12345 + steps * steps * 7) % 2147483648
    return (centre + spread * (mixed.double() / 1073741824 - 1)).float().view(shape)


def make_state(
    width: int, hidden: int, layers: int, vocab: int, positions: int, head: str, answers: int = 2
) -> State:
    """Make a released-format state dict: ResNet-50 of a given width, BERT of a given size."""
    state: State = {}

    def add(name: str, *shape: int, centre: float = 0.0) -> None:
        fan = max(1, torch.Size(shape[1:]).numel())
        spread = 0.2 if centre or len(shape) == 1 else (6.0 / fan) ** 0.5
        state[name] = filled(*shape, seed=len(state), spread=spread, centre=centre)

    def add_conv(name: str, out: int, into: int, size: int) -> None:
        add(f"{name}.weight", out, into, size, size)
        for leaf, centre in (("weight", 0.6), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            add(f"{name}.norm.{leaf}", out, centre=centre)

    def add_norm(name: str) -> None:
        add(f"{name}.weight", hidden, centre=1.0)
        add(f"{name}.bias", hidden)

    def add_linear(name: str, out: int, into: int) -> None:
        add(f"{name}.weight", out, into)
        add(f"{name}.bias", out)

    backbone = "cnn.feature.backbone"
    add_conv(f"{backbone}.stem.conv1", width, 3, 7)
    channels = width
    for stage, (name, count) in enumerate(BLOCKS.items()):
        middle = width * 2**stage
        for block in range(count):
            place = f"{backbone}.{name}.{block}"
            if block == 0:
                add_conv(f"{place}.shortcut", 4 * middle, channels, 1)
            add_conv(f"{place}.conv1", middle, channels, 1)
            add_conv(f"{place}.conv2", middle, middle, 3)
            add_conv(f"{place}.conv3", 4 * middle, middle, 1)
            channels = 4 * middle
    add("cnn.grid_encoder.0.weight", hidden, channels, 3, 3)
    text, visual = "transformer.bert.embeddings", "transformer.bert.visual_embeddings"
    for name, rows in (("word", vocab), ("position", positions), ("token_type", 2)):
        add(f"{text}.{name}_embeddings.weight", rows, hidden)
    add_norm(f"{text}.LayerNorm")
    for name, rows in (
        ("position", positions),
        ("row_position", 100),
        ("col_position", 100),
        ("token_type", 1),
    ):
        add(f"{visual}.{name}_embeddings.weight", rows, hidden)
    add_norm(f"{visual}.LayerNorm")
    for number in range(layers):
        layer = f"transformer.bert.encoder.layer.{number}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            add_linear(f"{layer}.attention.{name}", hidden, hidden)
        add_norm(f"{layer}.attention.output.LayerNorm")
        add_linear(f"{layer}.intermediate.dense", 4 * hidden, hidden)
        add_linear(f"{layer}.output.dense", hidden, 4 * hidden)
        add_norm(f"{layer}.output.LayerNorm")
    add_linear("transformer.bert.pooler.dense", hidden, hidden)
    if head == "pretrain":
        add_linear("transformer.cls.predictions.transform.dense", hidden, hidden)
        add_norm("transformer.cls.predictions.transform.LayerNorm")
        state["transformer.cls.predictions.decoder.weight"] = state[f"{text}.word_embeddings.weight"]
        add("transformer.cls.predictions.bias", vocab)
        state["transformer.cls.predictions.decoder.bias"] = state["transformer.cls.predictions.bias"]
        add_linear("transformer.cls.seq_relationship", 2, hidden)
    else:
        add_linear("transformer.classifier.0", 2 * hidden, hidden)
        add_linear("transformer.classifier.2", answers, 2 * hidden)
    return state


def encode_frames(state: State, frames: Tensor) -> Tensor:
    """Return ``(F, h, w, D)`` grids of ``(F, 3, H, W)`` RGB frames, 0 to 255."""
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    x = (frames.float() - mean)[:, [2, 1, 0]].to(state["cnn.grid_encoder.0.weight"].dtype)

    def conv_norm(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        name = f"cnn.feature.backbone.{name}"
        norm = [state[f"{name}.norm.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(F.conv2d(x, state[f"{name}.weight"], None, stride, padding), *norm, eps=1e-5)

    x = F.max_pool2d(F.relu(conv_norm(x, "stem.conv1", 2, 3)), 3, 2, 1)
    for name, count in BLOCKS.items():
        for block in range(count):
            stride = 2 if block == 0 and name != "res2" else 1
            place = f"{name}.{block}"
            shortcut = conv_norm(x, f"{place}.shortcut", stride, 0) if block == 0 else x
            y = F.relu(conv_norm(x, f"{place}.conv1", stride, 0))
            y = F.relu(conv_norm(y, f"{place}.conv2", 1, 1))
            x = F.relu(conv_norm(y, f"{place}.conv3", 1, 0) + shortcut)
    x = F.conv2d(x, state["cnn.grid_encoder.0.weight"], padding=1)
    return F.relu(F.max_pool2d(x, 2, 2)).permute(0, 2, 3, 1)


def encode_pairs(
    state: State, grids: Tensor, ids: Tensor, mask: Tensor, num_heads: int
) -> tuple[Tensor, Tensor]:
    """Return ``(P, L, D)`` text rows and ``(P, D)`` pooled of ``(P, T, h, w, D)`` grids and ``(P, L)`` texts."""
    bert = "transformer.bert"

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-12)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    text, visual = f"{bert}.embeddings", f"{bert}.visual_embeddings"
    words = state[f"{text}.word_embeddings.weight"][ids] + state[f"{text}.token_type_embeddings.weight"][0]
    words = norm(words + state[f"{text}.position_embeddings.weight"][: ids.shape[1]], f"{text}.LayerNorm")
    grid = grids.mean(1)
    rows = state[f"{visual}.row_position_embeddings.weight"][: grid.shape[1], None]
    grid = grid + rows + state[f"{visual}.col_position_embeddings.weight"][None, : grid.shape[2]]
    grid = grid.flatten(1, 2) + state[f"{visual}.token_type_embeddings.weight"][0]
    x = torch.cat([words, norm(grid, f"{visual}.LayerNorm")], 1)
    seen = torch.cat([mask, torch.ones(grid.shape[:2], dtype=mask.dtype)], 1)
    bias = (1 - seen.to(x.dtype))[:, None, None] * -10000.0
    number = 0
    while f"{bert}.encoder.layer.{number}.output.dense.weight" in state:
        layer = f"{bert}.encoder.layer.{number}"
        query, key, value = (
            linear(x, f"{layer}.attention.self.{name}").unflatten(-1, (num_heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias).softmax(-1)
        attended = linear((weights @ value).transpose(1, 2).flatten(2), f"{layer}.attention.output.dense")
        x = norm(x + attended, f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        number += 1
    return x[:, : ids.shape[1]], torch.tanh(linear(x[:, 0], f"{bert}.pooler.dense"))


def score_pooled(state: State, pooled: Tensor) -> Tensor:
    """Return ``(P, A)``: the two-layer head, or ITM where the state dict is a pre-trained one."""
    if "transformer.cls.seq_relationship.weight" in state:
        name = "transformer.cls.seq_relationship"
        return F.linear(pooled, state[f"{name}.weight"], state[f"{name}.bias"])
    first, last = "transformer.classifier.0", "transformer.classifier.2"
    hidden = F.relu(F.linear(pooled, state[f"{first}.weight"], state[f"{first}.bias"]))
    return F.linear(hidden, state[f"{last}.weight"], state[f"{last}.bias"])


def score_words(state: State, rows: Tensor) -> Tensor:
    """Return ``(P, L, vocab)`` masked-word scores of text rows."""
    name = "transformer.cls.predictions"
    x = F.linear(rows, state[f"{name}.transform.dense.weight"], state[f"{name}.transform.dense.bias"])
    x = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    norm = f"{name}.transform.LayerNorm"
    x = F.layer_norm(x, x.shape[-1:], state[f"{norm}.weight"], state[f"{norm}.bias"], 1e-12)
    return F.linear(x, state["transformer.bert.embeddings.word_embeddings.weight"], state[f"{name}.bias"])
