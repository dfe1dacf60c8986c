"""The transformer over text tokens followed by visual tokens (paper section 3).

It has BERT's post-LN layers with ``scaled_dot_product_attention``. The last layer computes only the rows that
heads read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.modules.activation_checkpointing import run_or_recompute
from clipbert_mmf.modules.products import Linear


class EncoderLayer(nn.Module):
    """Apply self-attention and a feed-forward part, each followed by LayerNorm of the sum.

    Args:
        hidden_size: D.
        num_heads: attention heads.
        intermediate_size: width of the feed-forward part.
        dropout: share of values that training drops.
        layer_norm_eps: added to a variance before it is divided by.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        intermediate_size: int,
        dropout: float = 0.1,
        layer_norm_eps: float = 1e-12,
    ):
        super().__init__()
        self.num_heads = num_heads
        self.query = Linear(hidden_size, hidden_size)
        self.key = Linear(hidden_size, hidden_size)
        self.value = Linear(hidden_size, hidden_size)
        self.attention_output = Linear(hidden_size, hidden_size)
        self.attention_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.intermediate = Linear(hidden_size, intermediate_size, gelu=True)
        self.output = Linear(intermediate_size, hidden_size)
        self.output_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, allowed: Tensor | None, num_rows: int | None = None) -> Tensor:
        """Return the first rows of the layer's result.

        Args:
            hidden: ``(P, S, D)``.
            allowed: ``(P, 1, 1, S)`` bool, True where attention may look; None allows all.
            num_rows: rows to compute; None for all.

        Returns:
            ``(P, num_rows, D)``.
        """
        rows = hidden if num_rows is None else hidden[:, :num_rows]
        attended = F.scaled_dot_product_attention(
            self.split_heads(self.query(rows)),
            self.split_heads(self.key(hidden)),
            self.split_heads(self.value(hidden)),
            attn_mask=allowed,
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        attended = self.attention_output(attended.transpose(1, 2).flatten(2))
        rows = self.attention_norm(rows + self.dropout(attended))
        fed = self.output(self.intermediate(rows))
        return self.output_norm(rows + self.dropout(fed))

    def split_heads(self, x: Tensor) -> Tensor:
        """Return ``(P, heads, S, D / heads)`` for ``(P, S, D)``."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class CrossEncoder(nn.Module):
    """Apply a stack of layers and BERT's pooler.

    Args:
        hidden_size: D, a multiple of ``num_heads``.
        num_layers: number of layers.
        num_heads: attention heads.
        intermediate_size: width of a layer's feed-forward part.
        dropout: share of values that training drops.
        layer_norm_eps: added to a variance before it is divided by.
        recompute: whether the backward pass computes layers again instead of keeping their inner results.

    Raises:
        ValueError: if ``hidden_size`` is not a multiple of ``num_heads``.
    """

    def __init__(
        self,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        intermediate_size: int,
        dropout: float = 0.1,
        layer_norm_eps: float = 1e-12,
        recompute: bool = False,
    ):
        super().__init__()
        self.recompute = recompute
        if hidden_size % num_heads:
            raise ValueError(
                f"transformer.hidden_size {hidden_size} is not a multiple of num_heads {num_heads}"
            )
        self.layers = nn.ModuleList(
            EncoderLayer(hidden_size, num_heads, intermediate_size, dropout, layer_norm_eps)
            for _ in range(num_layers)
        )
        self.pooler = Linear(hidden_size, hidden_size)

    def forward(
        self, text: Tensor, text_mask: Tensor, visual: Tensor, keep_text: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Encode pairs; visual tokens are never masked.

        Args:
            text: ``(P, L, D)``.
            text_mask: ``(P, L)``, 1 on tokens.
            visual: ``(P, V, D)``.
            keep_text: whether the last layer computes all text rows, or only ``[CLS]``.

        Returns:
            Rows of the last layer ``(P, L or 1, D)``, and pooled vectors ``(P, D)``.
        """
        hidden = torch.cat([text, visual], 1)
        seen = torch.ones(visual.shape[:2], dtype=torch.bool, device=text.device)
        allowed = torch.cat([text_mask.bool(), seen], 1)[:, None, None]
        for layer in self.layers[:-1]:
            hidden = run_or_recompute(layer, hidden, allowed, recompute=self.recompute and self.training)
        rows = self.layers[-1](hidden, allowed, text.shape[1] if keep_text else 1)
        return rows, torch.tanh(self.pooler(rows[:, 0]))

    def encode_alone(self, tokens: Tensor, mask: Tensor | None = None, num_rows: int | None = None) -> Tensor:
        """Encode texts without videos, or clips without texts.

        Args:
            tokens: ``(P, S, D)``.
            mask: ``(P, S)``, 1 on tokens; None where there is no padding.
            num_rows: rows of the last layer to compute, from the first; None for all.

        Returns:
            ``(P, num_rows, D)``.
        """
        allowed = None if mask is None else mask.bool()[:, None, None]
        for layer in self.layers[:-1]:
            tokens = run_or_recompute(layer, tokens, allowed, recompute=self.recompute and self.training)
        return self.layers[-1](tokens, allowed, num_rows)

    def encode_layers(self, tokens: Tensor, mask: Tensor, layers: Sequence[int]) -> Tensor:
        """Encode texts without videos, and return the rows of several layers side by side.

        Args:
            tokens: ``(P, S, D)``.
            mask: ``(P, S)``, 1 on tokens.
            layers: 0 for ``tokens``, 1 for the first layer's rows, and so on.

        Returns:
            ``(P, S, D * len(layers))``.
        """
        allowed, kept = mask.bool()[:, None, None], [tokens]
        for layer in self.layers[: max(layers)]:
            kept.append(
                run_or_recompute(layer, kept[-1], allowed, recompute=self.recompute and self.training)
            )
        return torch.cat([kept[number] for number in layers], -1)
