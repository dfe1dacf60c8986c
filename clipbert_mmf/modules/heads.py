"""From encoded pairs to score rows, one clip at a time (spec section 3, table of heads); clips are folded after."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.tables import is_same_definition


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


class RegressHead(PairHead):
    """A number: ``PairHead``'s output, which starts around 0 with a spread of 1, in the unit of what is predicted.

    Args:
        hidden_size, num_outputs, dropout: of ``PairHead``.
        mean, std: of the training answers, about. Without them the first updates only learn how large answers are.

    Raises:
        ValueError: if ``std`` is not above 0.
    """

    def __init__(
        self, hidden_size: int, num_outputs: int, dropout: float = 0.1, mean: float = 0.0, std: float = 1.0
    ):
        super().__init__(hidden_size, num_outputs, dropout)
        if not std > 0:
            raise ValueError(f"std of a regress head is {std}; expected a number above 0")
        self.mean, self.std = float(mean), float(std)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return ``(P, 1)`` of ``(P, D)``."""
        return self.mean + self.std * super().forward(pooled)


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


class HeadKind(NamedTuple):
    """A head that a configuration can name.

    Attributes:
        num_outputs: A; None where the configuration gives ``num_answers``.
        make: from hidden size, number of outputs and dropout to the module: ``(P, D)`` to ``(P, A)``.
        groups_options: whether the scores of a video's N texts are one row, ``(B, N)``.
        settings: further keys of ``model_config.clipbert.head`` that ``make`` takes by name.
    """

    num_outputs: int | None
    make: Callable[..., nn.Module] = PairHead
    groups_options: bool = False
    settings: tuple[str, ...] = ()


#: ``choose_by_match`` has the weights of ``match``: a retrieval model answers multiple-choice questions as it is (paper
#: section 4.1, MSRVTT-MC). ``pretrain`` is made with the word embeddings, see ``models.assembly``.
HEADS: dict[str, HeadKind] = {
    "match": HeadKind(2),
    "classify": HeadKind(None),
    "choose": HeadKind(1, groups_options=True),
    "choose_by_match": HeadKind(2, groups_options=True),
    "regress": HeadKind(1, RegressHead, settings=("mean", "std")),
    "pretrain": HeadKind(2),
}

#: Heads that tell whether a text fits a video.
MATCH_HEADS = ("match", "pretrain", "choose_by_match")


def register_head(name: str, kind: HeadKind) -> None:
    """Make ``model_config.clipbert.head.type: <name>`` possible.

    The module needs a class attribute ``READS_TEXT``; without one it is taken to read the pooled vector only.

    Raises:
        ValueError: if the name is taken by another head.
    """
    known = HEADS.get(name, kind)
    if not is_same_definition(known.make, kind.make) or known._replace(make=kind.make) != kind:
        raise ValueError(f"a head '{name}' is registered already")
    HEADS[name] = kind
