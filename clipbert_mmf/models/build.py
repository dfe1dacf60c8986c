"""Builds a network from its configuration: makes the modules and fills them with random numbers."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.config import SECTION, HeadConfig, ModelConfig
from clipbert_mmf.models.network import ClipBertNetwork, HeadUse
from clipbert_mmf.modules.backbones.registry import BACKBONES
from clipbert_mmf.modules.contrastive import CONTRASTIVE_HEADS
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.modules.grid_encoder import GridEncoder
from clipbert_mmf.modules.heads import HEADS, PairHead, PretrainHead
from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS


def build_network(config: ModelConfig) -> ClipBertNetwork:
    """Build a network with random weights.

    Raises:
        ConfigurationError: if a head needs a number of answers and has none.
    """
    sizes = config.transformer
    recompute = config.activation_checkpointing
    backbone = BACKBONES[config.backbone.type].build(config.backbone.options, recompute)
    text_embedding = TextEmbedding(
        sizes.vocab_size,
        sizes.hidden_size,
        sizes.max_positions,
        sizes.family.num_types,
        sizes.dropout,
        sizes.epsilon,
        sizes.family.padding_id,
        sizes.family.first_position,
    )
    out_channels: int = cast(Any, backbone).out_channels
    # The order of these calls decides which random numbers each module gets.
    grid_encoder = GridEncoder(out_channels, sizes.hidden_size, config.grid_encoder.pool)
    temporal_fusion = TEMPORAL_FUSIONS[config.temporal_fusion](sizes.hidden_size)
    visual_embedding = VisualEmbedding(
        sizes.hidden_size,
        sizes.max_rows,
        sizes.max_columns,
        sizes.dropout,
        sizes.epsilon,
        num_sampled=config.pixel_random_sampling,
    )
    encoder = CrossEncoder(
        sizes.hidden_size,
        sizes.num_layers,
        sizes.num_heads,
        sizes.intermediate_size,
        sizes.dropout,
        sizes.epsilon,
        recompute,
    )
    section = config.contrastive
    contrastive = None
    if section.weight:
        # Layers side by side, where a backbone has several.
        channels = tuple(getattr(backbone, "channel_blocks", (out_channels,)))
        contrastive = CONTRASTIVE_HEADS[section.type](channels, sizes.hidden_size, section)
    if section.replaces_scores:
        _require_matches(config)
    head, uses = _make_heads(config, text_embedding.words)
    network = ClipBertNetwork(
        backbone,
        grid_encoder,
        temporal_fusion,
        visual_embedding,
        text_embedding,
        encoder,
        head,
        uses,
        config.pairs_per_chunk,
        config.clip_fusion,
        contrastive,
        section.hard_negatives,
        section.replaces_scores,
    )
    # A backbone fills itself: it may be one that a package registers with weights.
    for name, part in network.named_children():
        if name != "backbone":
            fill_randomly(part, sizes.init_std)
    if contrastive is not None and section.joins_scores:
        _silence_matches(head)
    return network


def _make_heads(config: ModelConfig, words: nn.Embedding) -> tuple[nn.Module, HeadUse | dict[str, HeadUse]]:
    """Return the head and how it is used.

    With several heads all of them by name, and their use by dataset.
    """
    if not config.heads:
        use = HeadUse(None, config.fold, HEADS[config.head.type].groups_options)
        return _make_head(config, config.head, f"{SECTION}.head", words), use
    heads = {
        name: _make_head(config, head, f"{SECTION}.heads.{name}", words)
        for name, head in config.heads.items()
        if not head.shares
    }
    uses: dict[str, HeadUse] = {}
    for name, head in config.heads.items():
        kind = HEADS[head.type]
        contrasts = "score" in kind.asks and not kind.groups_options
        uses[name] = HeadUse(head.shares or name, head.fold or config.fold, kind.groups_options, contrasts)
    return nn.ModuleDict(heads), uses


def _make_head(config: ModelConfig, head: HeadConfig, where: str, words: nn.Embedding) -> nn.Module:
    kind, sizes = HEADS[head.type], config.transformer
    if kind.predicts_words:
        return kind.make(sizes.hidden_size, words, sizes.epsilon)
    num_outputs = kind.num_outputs or head.num_answers
    if not num_outputs:
        raise ConfigurationError(
            f"{where}.num_answers is empty; '{head.type}' needs the number of answers, such as "
            f"{where}.num_answers=1500"
        )
    values = {**vars(head), **head.options}
    settings = {key: values[key] for key in kind.settings if key in values}
    return kind.make(sizes.hidden_size, num_outputs, sizes.dropout, **settings)


def _require_matches(config: ModelConfig) -> None:
    """Raise ``ConfigurationError`` for a head whose score a dot product cannot be."""
    heads = {f"{SECTION}.heads.{name}": head for name, head in config.heads.items()} or {
        f"{SECTION}.head": config.head
    }
    allowed = [name for name, kind in HEADS.items() if kind.num_outputs == 2 and not kind.predicts_words]
    for where, head in heads.items():
        if head.type not in allowed:
            raise ConfigurationError(
                f"{SECTION}.contrastive.replaces_scores is true and {where}.type '{head.type}', which needs the "
                f"cross-encoder; it goes with {', '.join(allowed)}"
            )


def _silence_matches(head: nn.Module) -> None:
    """Let joined scores begin as the dot product: what the cross-encoder adds is 0 until it has learned.

    Random last layers would shuffle the order of a model whose cross-encoder was never trained.
    """
    for part in head.modules():
        if isinstance(part, (PairHead, PretrainHead)) and part.num_outputs == 2:
            last = part.output if isinstance(part, PairHead) else part.match
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


def fill_randomly(network: nn.Module, std: float) -> None:
    """Fill linear layers and embeddings as BERT does: normal with ``std``, zero biases.

    Convolutions keep their values.
    """
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=std)
        # ``nn.Linear(bias=False)`` has None, which its annotation leaves out.
        if isinstance(module, nn.Linear) and getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)


def freeze_parts(network: ClipBertNetwork, backbone: bool, transformer: bool) -> None:
    """Stop parts from training (Table 6). Heads always train.

    The grid encoder trains with a frozen backbone, as in the released code: it is new, and no file of weights
    holds it.

    Args:
        network: changed in place.
        backbone: whether the backbone stops training.
        transformer: whether the embeddings and the cross-encoder stop training.
    """
    parts = [network.backbone] if backbone else []
    if transformer:
        parts += [network.text_embedding, network.visual_embedding, network.encoder]
    for part in parts:
        part.requires_grad_(False)
