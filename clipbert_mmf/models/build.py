"""A network from settings: checks every key, makes the parts, fills them with random numbers.

``models.clipbert`` calls it with MMF's configuration, tools with a YAML file; below it everything is arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from clipbert_mmf.models.multitask import MultiTaskNetwork, Task
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.backbones.grid_resnet import GridBackbone, GridEncoder
from clipbert_mmf.modules.clip_fusion import CLIP_FUSIONS
from clipbert_mmf.modules.contrastive import ContrastiveHead
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.modules.heads import HEADS, PretrainHead
from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS
from clipbert_mmf.scoring.clips import FOLDS

#: Every key of ``model_config.clipbert``, with the keys of its sections.
KEYS: dict[str, set[str] | None] = {
    "backbone": {
        "depth",
        "norm",
        "width",
        "out_stage",
        "freeze_at",
        "stride_in_1x1",
        "pixel_mean",
        "pixel_std",
        "bgr",
        "frames_per_chunk",
    },
    "grid_encoder": {"pool"},
    "temporal_fusion": None,
    "transformer": {
        "hidden_size",
        "num_layers",
        "num_heads",
        "intermediate_size",
        "vocab_size",
        "max_positions",
        "dropout",
        "layer_norm_eps",
        "max_rows",
        "max_columns",
        "init_std",
    },
    "head": {"type", "num_answers", "mean", "std"},
    "heads": None,
    "fold": None,
    "clip_fusion": None,
    "contrastive": {"weight", "size"},
    "pixel_random_sampling": None,
    "pairs_per_chunk": None,
    "activation_checkpointing": None,
    "image_normalization": {"mean", "std"},
    "weights": {"clipbert", "backbone", "transformer", "strict"},
    "freeze": {"backbone", "transformer"},
    "learning_rate_factors": {"backbone", "transformer"},
    "losses": None,
    "model": None,
}
#: Keys of a dataset's entry in ``heads``.
_HEAD_KEYS = {"type", "num_answers", "mean", "std", "fold", "shares"}


def check_keys(settings: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a key of ``model_config.clipbert`` that nothing reads."""
    for key, value in settings.items():
        if key not in KEYS:
            raise ValueError(f"model_config.clipbert.{key} is unknown; allowed are {sorted(KEYS)}")
        unknown = sorted(set(value or ()) - KEYS[key]) if KEYS[key] else []
        if unknown:
            raise ValueError(
                f"model_config.clipbert.{key}: unknown keys {unknown}; allowed are {sorted(KEYS[key])}"
            )
    for dataset, head in (settings.get("heads") or {}).items():
        unknown = sorted(set(head) - _HEAD_KEYS)
        if unknown:
            raise ValueError(
                f"model_config.clipbert.heads.{dataset}: unknown keys {unknown}; allowed are {sorted(_HEAD_KEYS)}"
            )


def choose(key: str, value: str, table: Mapping[str, Any]) -> Any:
    """Return ``table[value]``, or raise ``ValueError`` that names the key and what is allowed."""
    if value not in table:
        raise ValueError(f"model_config.clipbert.{key} is '{value}'; allowed are {sorted(table)}")
    return table[value]


def assemble_network(settings: Mapping[str, Any]) -> ClipBertNetwork:
    """Build the network of ``model_config.clipbert`` with random weights.

    Args:
        settings: the section as plain dictionaries and lists.

    Raises:
        ValueError: for a key that nothing reads, or a value that is not allowed.
    """
    check_keys(settings)
    transformer = settings["transformer"]
    hidden_size, dropout, eps = (transformer[key] for key in ("hidden_size", "dropout", "layer_norm_eps"))
    choose("fold", settings["fold"], FOLDS)
    clip_fusion = settings.get("clip_fusion", "fold")  # runs of earlier versions do not name it
    choose("clip_fusion", clip_fusion, CLIP_FUSIONS)
    fusion = choose("temporal_fusion", settings["temporal_fusion"], TEMPORAL_FUSIONS)
    recompute = bool(settings.get("activation_checkpointing", False))
    backbone = GridBackbone(**settings["backbone"], recompute=recompute)
    text_embedding = TextEmbedding(
        transformer["vocab_size"],
        hidden_size,
        transformer["max_positions"],
        dropout=dropout,
        layer_norm_eps=eps,
    )
    parts = dict(
        backbone=backbone,
        grid_encoder=GridEncoder(backbone.out_channels, hidden_size, settings["grid_encoder"]["pool"]),
        temporal_fusion=fusion(hidden_size),
        visual_embedding=VisualEmbedding(
            hidden_size,
            transformer["max_rows"],
            transformer["max_columns"],
            dropout,
            eps,
            num_sampled=settings["pixel_random_sampling"],
        ),
        text_embedding=text_embedding,
        encoder=CrossEncoder(
            hidden_size,
            transformer["num_layers"],
            transformer["num_heads"],
            transformer["intermediate_size"],
            dropout,
            eps,
            recompute,
        ),
        fold=settings["fold"],
        pairs_per_chunk=settings["pairs_per_chunk"],
        clip_fusion=clip_fusion,
        contrastive=_make_contrastive(settings),
    )
    if settings.get("heads"):
        network = MultiTaskNetwork(*_make_heads(settings, text_embedding.words), **parts)
    else:
        head = _make_head("head", settings["head"], transformer, text_embedding.words)
        network = ClipBertNetwork(
            head=head, group_options=HEADS[settings["head"]["type"]].groups_options, **parts
        )
    fill_randomly(network, transformer["init_std"])
    return network


def _make_head(
    where: str, head: Mapping[str, Any], transformer: Mapping[str, Any], words: nn.Embedding
) -> nn.Module:
    kind = choose(f"{where}.type", head.get("type"), HEADS)
    if head["type"] == "pretrain":
        return PretrainHead(transformer["hidden_size"], words, transformer["layer_norm_eps"])
    num_outputs = kind.num_outputs or head.get("num_answers")
    if not num_outputs:
        raise ValueError(
            f"model_config.clipbert.{where}.num_answers is empty; '{head['type']}' needs the number of answers"
        )
    given = {key: head[key] for key in kind.settings if key in head}
    return kind.make(transformer["hidden_size"], num_outputs, transformer["dropout"], **given)


def _make_heads(
    settings: Mapping[str, Any], words: nn.Embedding
) -> tuple[dict[str, nn.Module], dict[str, Task]]:
    """Return the heads by name, and for each dataset which one it has and how it folds."""
    entries = settings["heads"]
    heads = {
        name: _make_head(f"heads.{name}", head, settings["transformer"], words)
        for name, head in entries.items()
        if not head.get("shares")
    }
    tasks = {}
    for name, head in entries.items():
        kind, owner = choose(f"heads.{name}.type", head.get("type"), HEADS), head.get("shares") or name
        choose(f"heads.{name}.shares", owner, heads)
        own, shared = (
            one._replace(groups_options=False, asks=()) for one in (kind, HEADS[entries[owner]["type"]])
        )
        if own != shared:
            raise ValueError(
                f"model_config.clipbert.heads.{name}.type is '{head['type']}', but it shares the head of '{owner}', which "
                f"is '{entries[owner]['type']}': their outputs differ"
            )
        fold = head.get("fold") or settings["fold"]
        choose(f"heads.{name}.fold", fold, FOLDS)
        tasks[name] = Task(owner, fold, kind.groups_options, "score" in kind.asks and not kind.groups_options)
    return heads, tasks


def _make_contrastive(settings: Mapping[str, Any]) -> ContrastiveHead | None:
    section = settings.get("contrastive") or {}
    weight, size = float(section.get("weight") or 0), int(section.get("size") or 0)
    if weight < 0 or (weight and size < 1):
        raise ValueError(
            f"model_config.clipbert.contrastive has weight {weight:g} and size {size}; expected a weight of at least 0 "
            f"and a size of at least 1"
        )
    return ContrastiveHead(settings["transformer"]["hidden_size"], size) if weight else None


def fill_randomly(network: nn.Module, std: float) -> None:
    """Give linear layers and embeddings BERT's start: normal with ``std``, zero biases; convolutions keep theirs."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def freeze_parts(network: ClipBertNetwork, backbone: bool, transformer: bool) -> None:
    """Stop parts from training (Table 6): the convolutional network, the embeddings and layers. Heads always train.

    The grid encoder trains with a frozen backbone, as in the released code: it is new, no weights of others have it.
    """
    parts = [network.backbone] if backbone else []
    if transformer:
        parts += [network.text_embedding, network.visual_embedding, network.encoder]
    for part in parts:
        part.requires_grad_(False)
