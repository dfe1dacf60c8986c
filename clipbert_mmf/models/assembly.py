"""A network from settings: checks every key, makes the parts, fills them with random numbers.

``models.clipbert`` calls it with MMF's configuration, tools with a YAML file; below it everything is arguments.
"""

from __future__ import annotations

from typing import Any, Mapping

from torch import nn

from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.modules.grid_backbone import GridBackbone, GridEncoder
from clipbert_mmf.modules.heads import HEADS, PretrainHead
from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS
from clipbert_mmf.scoring.clips import FOLDS

#: Every key of ``model_config.clipbert``, with the keys of its sections.
KEYS: dict[str, set[str] | None] = {
    "backbone": {
        "depth", "norm", "width", "out_stage", "freeze_at", "stride_in_1x1", "pixel_mean", "pixel_std", "bgr"
    },
    "grid_encoder": {"pool"},
    "temporal_fusion": None,
    "transformer": {
        "hidden_size", "num_layers", "num_heads", "intermediate_size", "vocab_size", "max_positions", "dropout",
        "layer_norm_eps", "max_rows", "max_columns", "init_std",
    },
    "head": {"type", "num_answers"},
    "fold": None,
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


def check_keys(settings: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a key of ``model_config.clipbert`` that nothing reads."""
    for key, value in settings.items():
        if key not in KEYS:
            raise ValueError(f"model_config.clipbert.{key} is unknown; allowed are {sorted(KEYS)}")
        unknown = sorted(set(value or ()) - KEYS[key]) if KEYS[key] else []
        if unknown:
            raise ValueError(f"model_config.clipbert.{key}: unknown keys {unknown}; allowed are {sorted(KEYS[key])}")


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
    transformer, head_type = settings["transformer"], settings["head"]["type"]
    hidden_size, dropout, eps = (transformer[key] for key in ("hidden_size", "dropout", "layer_norm_eps"))
    choose("head.type", head_type, HEADS)
    choose("fold", settings["fold"], FOLDS)
    fusion = choose("temporal_fusion", settings["temporal_fusion"], TEMPORAL_FUSIONS)
    recompute = bool(settings.get("activation_checkpointing", False))
    backbone = GridBackbone(**settings["backbone"], recompute=recompute)
    text_embedding = TextEmbedding(
        transformer["vocab_size"], hidden_size, transformer["max_positions"], dropout=dropout, layer_norm_eps=eps
    )
    network = ClipBertNetwork(
        backbone=backbone,
        grid_encoder=GridEncoder(backbone.out_channels, hidden_size, settings["grid_encoder"]["pool"]),
        temporal_fusion=fusion(hidden_size),
        visual_embedding=VisualEmbedding(
            hidden_size, transformer["max_rows"], transformer["max_columns"], dropout, eps,
            num_sampled=settings["pixel_random_sampling"],
        ),
        text_embedding=text_embedding,
        encoder=CrossEncoder(
            hidden_size, transformer["num_layers"], transformer["num_heads"], transformer["intermediate_size"],
            dropout, eps, recompute,
        ),
        head=_make_head(settings, text_embedding.words),
        fold=settings["fold"],
        group_options=HEADS[head_type].groups_options,
        pairs_per_chunk=settings["pairs_per_chunk"],
    )
    fill_randomly(network, transformer["init_std"])
    return network


def _make_head(settings: Mapping[str, Any], words: nn.Embedding) -> nn.Module:
    transformer, head_type = settings["transformer"], settings["head"]["type"]
    if head_type == "pretrain":
        return PretrainHead(transformer["hidden_size"], words, transformer["layer_norm_eps"])
    num_outputs = HEADS[head_type].num_outputs or settings["head"].get("num_answers")
    if not num_outputs:
        raise ValueError(f"model_config.clipbert.head.num_answers is empty; '{head_type}' needs the number of answers")
    return HEADS[head_type].make(transformer["hidden_size"], num_outputs, transformer["dropout"])


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
