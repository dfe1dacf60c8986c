"""The ClipBERT a user would write from libraries, to measure against: it works as the released code does.

Hugging Face's ``BertModel`` with eager attention over [text; visual], torchvision's ResNet-50 with frozen
batch norm, texts padded to the limit, and pixels encoded once for each call.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.weights.formats import FORMATS


class PlainClipBert(nn.Module):
    """Float frames and padded texts to scores of one clip.

    Args:
        network: our network, whose weights are copied.
        hidden_size: width of its transformer.
        num_layers: number of layers of its transformer.
        num_heads: number of attention heads.
        intermediate_size: width of the feed-forward layers.
        depth: function of torchvision that builds its ResNet, such as ``resnet50``.
        dropout: probability in the transformer and the head.
    """

    mean: Tensor

    def __init__(
        self,
        network: ClipBertNetwork,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        intermediate_size: int,
        depth: str,
        dropout: float,
    ):
        super().__init__()
        # The class of the network's parts depends on its configuration.
        ours: Any = network
        vocab_size = ours.text_embedding.words.num_embeddings
        config = BertConfig(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            intermediate_size=intermediate_size,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            max_position_embeddings=ours.text_embedding.positions.num_embeddings,
            attn_implementation="eager",
        )
        self.bert = BertModel(config)
        resnet = getattr(torchvision.models, depth)(
            weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d
        )
        for stage in (resnet.layer2, resnet.layer3, resnet.layer4):
            if hasattr(stage[0], "conv3"):
                stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
        self.resnet = nn.Sequential(*list(resnet.children())[:-2])
        for part in list(self.resnet)[:5]:  # stem and res2 do not train
            part.requires_grad_(False)
        self.grid = nn.Conv2d(ours.grid_encoder.conv.in_channels, hidden_size, 3, padding=1, bias=False)
        self.rows, self.columns = nn.Embedding(100, hidden_size), nn.Embedding(100, hidden_size)
        self.visual_type = nn.Embedding(1, hidden_size)
        self.visual_norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(hidden_size, 2 * hidden_size),
            nn.ReLU(),
            nn.Linear(2 * hidden_size, 2),
        )
        self.register_buffer("mean", ours.backbone.pixel_mean.clone())
        self._copy(ours, resnet)

    @torch.no_grad()
    def _copy(self, network: Any, resnet: nn.Module) -> None:
        backbone = FORMATS["torchvision"]
        weights = network.backbone.state_dict().items()
        renamed = [(backbone.rename(f"backbone.{own}"), value) for own, value in weights]
        resnet.load_state_dict({name: value for name, value in renamed if name}, strict=False)
        renamed = [(FORMATS["bare_bert"].rename(own), value) for own, value in network.state_dict().items()]
        self.bert.load_state_dict({name: value for name, value in renamed if name}, strict=False)
        visual = network.visual_embedding
        for target, source in (
            (self.grid, network.grid_encoder.conv),
            (self.rows, visual.rows),
            (self.columns, visual.columns),
            (self.visual_type, visual.token_type),
            (self.visual_norm, visual.norm),
            (self.head[1], network.head.hidden),
            (self.head[3], network.head.output),
        ):
            target.load_state_dict(source.state_dict())

    def forward(self, frames: Tensor, input_ids: Tensor, input_mask: Tensor) -> Tensor:
        """Return ``(B * N, 2)`` of ``(B, T, 3, H, W)`` float RGB frames and ``(B, N, L)`` texts."""
        batch, length = frames.shape[:2]
        num_texts = input_ids.shape[1]
        pixels = (frames.flatten(0, 1) - self.mean).flip(1)
        grid = torch.relu(nn.functional.max_pool2d(self.grid(self.resnet(pixels)), 2, 2))
        grid = grid.unflatten(0, (batch, length)).mean(1).permute(0, 2, 3, 1)
        height, width = grid.shape[1:3]
        places = (
            self.rows.weight[:height, None] + self.columns.weight[None, :width] + self.visual_type.weight[0]
        )
        visual = self.dropout(self.visual_norm((grid + places).flatten(1, 2)))
        visual = visual.repeat_interleave(num_texts, 0)
        ids, mask = input_ids.flatten(0, 1), input_mask.flatten(0, 1)
        hidden = torch.cat([self.bert.embeddings(ids), visual], 1)
        seen = torch.cat([mask, mask.new_ones(visual.shape[:2])], 1)
        bias = (1.0 - seen[:, None, None].float()) * torch.finfo(torch.float32).min
        encoded = self.bert.encoder(hidden, attention_mask=bias)[0]
        return self.head(self.bert.pooler(encoded))  # pyright: ignore[reportOptionalCall]  BertModel has one by default
