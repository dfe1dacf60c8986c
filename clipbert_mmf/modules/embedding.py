"""Turns grids and word pieces into the tokens that the cross-encoder reads (paper section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TextFamily:
    """How a family of text encoders embeds texts; their layers are the same.

    Attributes:
        padding_id: id of the padding in its vocabularies.
        first_position: row of the first word in the table of positions; rows before it are for padding.
        num_types: number of segment types.
        layer_norm_eps: added to a variance before it is divided by.
    """

    padding_id: int
    first_position: int
    num_types: int
    layer_norm_eps: float


_BERT = TextFamily(padding_id=0, first_position=0, num_types=2, layer_norm_eps=1e-12)
_ROBERTA = TextFamily(padding_id=1, first_position=2, num_types=1, layer_norm_eps=1e-5)
#: ``model_type`` of Hugging Face -> family.
TEXT_FAMILIES: dict[str, TextFamily] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
}


class VisualEmbedding(nn.Module):
    """Add row, column and type embeddings to a grid and flatten it row by row.

    Args:
        hidden_size: D.
        max_rows: tallest grid.
        max_columns: widest grid.
        dropout: share of values that training drops.
        layer_norm_eps: added to a variance before it is divided by.
        num_sampled: positions that training keeps at random (pixel random sampling of pre-training); 0 keeps
            all.
    """

    def __init__(
        self,
        hidden_size: int,
        max_rows: int = 100,
        max_columns: int = 100,
        dropout: float = 0.1,
        layer_norm_eps: float = 1e-12,
        num_sampled: int = 0,
    ):
        super().__init__()
        self.rows = nn.Embedding(max_rows, hidden_size)
        self.columns = nn.Embedding(max_columns, hidden_size)
        self.token_type = nn.Embedding(1, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.num_sampled = num_sampled

    def forward(self, grids: Tensor) -> Tensor:
        """Return visual tokens ``(clips, V, D)`` for grids ``(clips, D, h, w)``.

        Raises:
            ValueError: if the grid is larger than the tables.
        """
        height, width = grids.shape[-2:]
        if height > self.rows.num_embeddings or width > self.columns.num_embeddings:
            raise ValueError(
                f"a grid of {height}x{width} exceeds the {self.rows.num_embeddings} row and "
                f"{self.columns.num_embeddings} column embeddings; use a smaller image_size"
            )
        place = (
            self.rows.weight[:height, None] + self.columns.weight[None, :width] + self.token_type.weight[0]
        )
        tokens = (grids.permute(0, 2, 3, 1) + place).flatten(1, 2)
        if self.training and 0 < self.num_sampled < tokens.shape[1]:
            kept = torch.randperm(tokens.shape[1], device=tokens.device)[: self.num_sampled].sort().values
            tokens = tokens[:, kept]
        return self.dropout(self.norm(tokens))


class TextEmbedding(nn.Module):
    """Add word, position and type embeddings as BERT and RoBERTa do, then LayerNorm and dropout.

    Args:
        vocab_size: number of words.
        hidden_size: D.
        max_positions: longest text in tokens.
        num_types: number of segment types.
        dropout: share of values that training drops.
        layer_norm_eps: added to a variance before it is divided by.
        padding_id: id of the padding.
        first_position: rows of the table of positions before the first word's.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        max_positions: int = 512,
        num_types: int = 2,
        dropout: float = 0.1,
        layer_norm_eps: float = 1e-12,
        padding_id: int = 0,
        first_position: int = 0,
    ):
        super().__init__()
        self.words = nn.Embedding(vocab_size, hidden_size, padding_idx=padding_id)
        self.positions = nn.Embedding(max_positions + first_position, hidden_size)
        self.first_position = first_position
        self.types = nn.Embedding(num_types, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, segment_ids: Tensor) -> Tensor:
        """Return text tokens ``(P, L, D)`` for ids ``(P, L)`` int64.

        Raises:
            ValueError: if the text is longer than the position table.
        """
        length, first = input_ids.shape[1], self.first_position
        longest = self.positions.num_embeddings - first
        if length > longest:
            raise ValueError(f"a text of {length} tokens exceeds the {longest} positions")
        positions = self.positions.weight[first : first + length]
        embedded = self.words(input_ids) + positions + self.types(segment_ids)
        return self.dropout(self.norm(embedded))
