"""The transformer over text tokens followed by visual tokens (paper section 3).

It has BERT's post-LN layers with ``scaled_dot_product_attention``. The last layer computes only the rows that
heads read. Evaluation on a CPU projects a text once for all clips and a clip once for all texts in the first layer,
and in the last one neither keys nor values of rows that only ``[CLS]`` looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.modules.activation_checkpointing import run_or_recompute
from clipbert_mmf.modules.products import Linear, computes_on_cpu, find_product_dtype


@dataclass(frozen=True)
class PairTokens:
    """Tokens of pairs that share texts and videos.

    Attributes:
        text: ``(P, L, D)``.
        visual: ``(B, K, V, D)``.
        videos: ``(P,)`` int64, the video of each pair.
    """

    text: Tensor
    visual: Tensor
    videos: Tensor

    def join(self, project: nn.Module | None = None) -> Tensor:
        """Return ``(P * K, L + V, D)``, each text in front of each clip of its video; ``project`` is applied before."""
        text, visual = (
            (self.text, self.visual) if project is None else (project(self.text), project(self.visual))
        )
        of_pairs = visual[self.videos]
        num_clips = of_pairs.shape[1]
        repeated = text[:, None].expand(-1, num_clips, -1, -1)
        return torch.cat([repeated, of_pairs], 2).flatten(0, 1)


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

    def forward(
        self,
        hidden: Tensor,
        allowed: Tensor | None,
        num_rows: int | None = None,
        shared: PairTokens | None = None,
    ) -> Tensor:
        """Return the first rows of the layer's result.

        Args:
            hidden: ``(P, S, D)``.
            allowed: ``(P, 1, 1, S)`` bool, True where attention may look; None allows all.
            num_rows: rows to compute; None for all.
            shared: the tokens that ``hidden`` was joined of, for a layer that computes all rows.

        Returns:
            ``(P, num_rows, D)``.
        """
        rows = hidden if num_rows is None else hidden[:, :num_rows]
        if num_rows == 1 and self._skips_keys(hidden):
            attended = self._attend_from_first(hidden, allowed)
        else:
            query, key, value = (
                (self.query(rows), self.key(hidden), self.value(hidden))
                if shared is None
                else map(shared.join, (self.query, self.key, self.value))
            )
            attended = F.scaled_dot_product_attention(
                self.split_heads(query),
                self.split_heads(key),
                self.split_heads(value),
                attn_mask=allowed,
                dropout_p=self.dropout.p if self.training else 0.0,
            )
            attended = attended.transpose(1, 2).flatten(2)
        attended = self.attention_output(attended)
        rows = self.attention_norm(rows + self.dropout(attended))
        fed = self.output(self.intermediate(rows))
        return self.output_norm(rows + self.dropout(fed))

    def _skips_keys(self, hidden: Tensor) -> bool:
        return (
            not self.training
            and hidden.dtype == self.key.weight.dtype == torch.float32
            and find_product_dtype(hidden) == torch.float32
            and computes_on_cpu(hidden, self.key.weight)
        )

    def _attend_from_first(self, hidden: Tensor, allowed: Tensor | None) -> Tensor:
        """Return ``(P, 1, D)``, what row 0 sees: its query goes through the keys' weights, and not each row.

        The keys' bias adds the same to all logits of a head, which softmax takes away.
        """
        query = self.query(hidden[:, 0]).unflatten(-1, (self.num_heads, -1)).transpose(0, 1)
        keys, values = (x.weight.unflatten(0, (self.num_heads, -1)) for x in (self.key, self.value))
        logits = (query @ keys).transpose(0, 1) @ hidden.transpose(1, 2) / query.shape[-1] ** 0.5
        if allowed is not None:
            logits = logits.masked_fill(~allowed[:, 0], -torch.inf)
        seen = (logits.softmax(-1) @ hidden).transpose(0, 1) @ values.transpose(1, 2)
        return (seen.transpose(0, 1).flatten(1) + self.value.bias)[:, None]

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
        self,
        text: Tensor,
        text_mask: Tensor,
        visual: Tensor,
        keep_text: bool = False,
        videos: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode pairs; visual tokens are never masked.

        Args:
            text: ``(P, L, D)``.
            text_mask: ``(P, L)``, 1 on tokens.
            visual: ``(P, V, D)``; with ``videos`` ``(B, K, V, D)``, which pairs share.
            keep_text: whether the last layer computes all text rows, or only ``[CLS]``.
            videos: evaluation: ``(P,)`` int64, the video of each pair; every clip of it is read with the text.

        Returns:
            Rows of the last layer ``(P, L or 1, D)``, and pooled vectors ``(P, D)``; with ``videos`` of ``P * K``
            pairs.
        """
        shared = None if videos is None else PairTokens(text, visual, videos)
        hidden = torch.cat([text, visual], 1) if shared is None else shared.join()
        mask = text_mask.bool()
        if shared is not None:
            mask = mask.repeat_interleave(visual.shape[1], 0)
        # Not len(): an exported graph would keep the number of pairs it was made with.
        shape = hidden.shape[0], hidden.shape[1] - text.shape[1]
        seen = torch.ones(shape, dtype=torch.bool, device=text.device)
        allowed = torch.cat([mask, seen], 1)[:, None, None]
        # Without padding attention is faster without a mask; a GPU would have to be waited for.
        inner = None if shared is not None and bool(mask.all()) else allowed
        for number, layer in enumerate(self.layers[:-1]):
            if shared is not None:
                hidden = layer(hidden, inner, None, shared if number == 0 else None)
            else:
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
