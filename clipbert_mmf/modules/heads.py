"""From encoded pairs to score rows, one clip at a time (spec section 3, table of heads); clips are folded after."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PairHead(nn.Module):
    """Two-layer perceptron on the pooled vector: dropout, Linear(D, 2D), ReLU, Linear(2D, A)."""

    READS_TEXT = False

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float = 0.1):
        super().__init__()
        self.num_outputs = num_outputs
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(hidden_size, 2 * hidden_size)
        self.output = nn.Linear(2 * hidden_size, num_outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return ``(P, A)`` of ``(P, D)``."""
        return self.output(F.relu(self.hidden(self.dropout(pooled))))


class PretrainHead(nn.Module):
    """MLM on text positions, its decoder tied to the word embeddings, and ITM: Linear(D, 2) on the pooled vector."""

    READS_TEXT = True

    def __init__(self, hidden_size: int, word_embedding: nn.Embedding, layer_norm_eps: float = 1e-12):
        super().__init__()
        self.num_outputs = 2
        self.transform = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.decoder = nn.Linear(hidden_size, word_embedding.num_embeddings)
        self.decoder.weight = word_embedding.weight
        self.match = nn.Linear(hidden_size, 2)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the ITM scores ``(P, 2)`` of ``(P, D)``."""
        return self.match(pooled)

    def score_words(self, rows: Tensor) -> Tensor:
        """Return ``(..., vocab)`` of text rows ``(..., D)``."""
        return self.decoder(self.norm(F.gelu(self.transform(rows))))


#: Head -> number of outputs, None where the configuration gives ``num_answers``. ``choose_by_match`` has the weights of
#: ``match``: a retrieval model answers multiple-choice questions as it is (paper section 4.1, MSRVTT-MC).
HEADS: dict[str, int | None] = {
    "match": 2, "classify": None, "choose": 1, "choose_by_match": 2, "regress": 1, "pretrain": 2,
}
#: Heads whose scores of a video's N texts are one row, (B, N).
OPTION_HEADS = ("choose", "choose_by_match")
