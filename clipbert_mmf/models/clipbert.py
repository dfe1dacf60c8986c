"""``model=clipbert``: reads MMF's configuration, builds the network, and passes batches through it."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmf.common.registry import registry
from mmf.models.base_model import BaseModel
from torch import nn

from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.modules.grid_backbone import GridBackbone, GridEncoder
from clipbert_mmf.modules.heads import HEADS, PairHead, PretrainHead
from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS
from clipbert_mmf.optim.param_groups import make_param_groups
from clipbert_mmf.paths import config_dir
from clipbert_mmf.scoring.clips import FOLDS
from clipbert_mmf.weights.checkpoint import load_checkpoint

logger = logging.getLogger(__name__)

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
    "weights": {"clipbert", "strict"},
    "freeze": {"backbone", "transformer"},
    "learning_rate_factors": {"backbone", "transformer"},
    "losses": None,
    "model": None,
}


def check_keys(config: Any) -> None:
    """Raise ``ValueError`` for a key of ``model_config.clipbert`` that nothing reads."""
    for key in config:
        if key not in KEYS:
            raise ValueError(f"model_config.clipbert.{key} is unknown; allowed are {sorted(KEYS)}")
        unknown = sorted(set(config[key] or ()) - KEYS[key]) if KEYS[key] else []
        if unknown:
            raise ValueError(f"model_config.clipbert.{key}: unknown keys {unknown}; allowed are {sorted(KEYS[key])}")


def choose(config: Any, key: str, value: str, table: dict) -> Any:
    """Return ``table[value]``, or raise ``ValueError`` that names the key and what is allowed."""
    if value not in table:
        raise ValueError(f"model_config.clipbert.{key} is '{value}'; allowed are {sorted(table)}")
    return table[value]


@registry.register_model("clipbert")
class ClipBert(BaseModel):
    """ClipBERT for every task; the head of the configuration decides which."""

    def __init__(self, config):
        super().__init__(config)

    @classmethod
    def config_path(cls) -> str:
        """Absolute path of the paper's model."""
        return str(config_dir() / "models" / "clipbert" / "defaults.yaml")

    def build(self) -> None:
        """Build the network from the configuration, load weights, freeze what shall not train."""
        config = self.config
        check_keys(config)
        transformer = {key: config.transformer[key] for key in config.transformer}
        hidden_size, dropout = transformer["hidden_size"], transformer["dropout"]
        eps = transformer["layer_norm_eps"]
        backbone = GridBackbone(**{key: config.backbone[key] for key in config.backbone})
        text_embedding = TextEmbedding(
            transformer["vocab_size"], hidden_size, transformer["max_positions"], dropout=dropout, layer_norm_eps=eps
        )
        head_type = config.head.type
        choose(config, "head.type", head_type, HEADS)
        choose(config, "fold", config.fold, FOLDS)
        self.network = ClipBertNetwork(
            backbone=backbone,
            grid_encoder=GridEncoder(backbone.out_channels, hidden_size, config.grid_encoder.pool),
            temporal_fusion=choose(config, "temporal_fusion", config.temporal_fusion, TEMPORAL_FUSIONS)(hidden_size),
            visual_embedding=VisualEmbedding(
                hidden_size, transformer["max_rows"], transformer["max_columns"], dropout, eps,
                num_sampled=config.pixel_random_sampling,
            ),
            text_embedding=text_embedding,
            encoder=CrossEncoder(
                hidden_size, transformer["num_layers"], transformer["num_heads"], transformer["intermediate_size"],
                dropout, eps,
            ),
            head=self._build_head(head_type, hidden_size, dropout, text_embedding.words),
            fold=config.fold,
            group_options=head_type == "choose",
            pairs_per_chunk=config.pairs_per_chunk,
        )
        self._initialize()
        if config.weights.clipbert:
            load_checkpoint(self.network, config.weights.clipbert, strict=bool(config.weights.strict))
        self._freeze(config.freeze)

    def _build_head(self, head_type: str, hidden_size: int, dropout: float, words: nn.Embedding) -> nn.Module:
        if head_type == "pretrain":
            return PretrainHead(hidden_size, words, self.config.transformer.layer_norm_eps)
        num_outputs = HEADS[head_type] or self.config.head.num_answers
        if not num_outputs:
            raise ValueError("model_config.clipbert.head.num_answers is empty; 'classify' needs the number of answers")
        return PairHead(hidden_size, num_outputs, dropout)

    def _initialize(self) -> None:
        # BERT's: normal, zero biases; convolutions keep theirs.
        std = self.config.transformer.init_std
        for module in self.network.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def _freeze(self, freeze) -> None:
        network = self.network
        parts = {
            "backbone": [network.backbone, network.grid_encoder],
            "transformer": [network.text_embedding, network.visual_embedding, network.encoder],
        }
        for name, modules in parts.items():
            if freeze[name]:
                for module in modules:
                    module.requires_grad_(False)

    def get_optimizer_parameters(self, config):
        """Return parameter groups: no weight decay on biases and norms, a learning rate for each part."""
        return make_param_groups(
            self.network,
            base_lr=config.optimizer.params.lr,
            weight_decay=config.optimizer.params.get("weight_decay", 0.0),
            factors={key: self.config.learning_rate_factors[key] for key in self.config.learning_rate_factors},
        )

    def forward(self, sample_list) -> dict[str, torch.Tensor]:
        """Return the network's output for a batch of ours; see ``ClipBertNetwork.forward``."""
        return self.network(
            sample_list.frames,
            sample_list.input_ids,
            sample_list.input_mask,
            sample_list.segment_ids,
            getattr(sample_list, "lm_label_ids", None),
        )
