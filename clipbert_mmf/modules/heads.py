"""Heads turn encoded pairs into score rows, one clip at a time (paper section 3).

Clips are folded afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.configuration import suggest
from clipbert_mmf.modules.products import Linear
from clipbert_mmf.tables import is_same_definition

#: The questions that a trained model may be able to answer: how well texts fit a video, which answer of a
#: vocabulary is correct, which of the given options is correct, how many there are.
Ability = Literal["score", "answer", "choose", "count"]


class PairHead(nn.Module):
    """Two-layer perceptron on the pooled vector: dropout, Linear(D, 2D), ReLU, Linear(2D, A)."""

    READS_TEXT = False

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float = 0.1):
        super().__init__()
        self.num_outputs = num_outputs
        self.dropout = nn.Dropout(dropout)
        self.hidden = Linear(hidden_size, 2 * hidden_size)
        self.output = nn.Linear(2 * hidden_size, num_outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return scores ``(P, A)`` for pooled vectors ``(P, D)``."""
        return self.output(F.relu(self.hidden(self.dropout(pooled))))


class RegressHead(PairHead):
    """Predict a number: scale ``PairHead``'s output, which starts near 0 with spread 1, to the unit of the answers.

    Args:
        hidden_size: D.
        num_outputs: numbers predicted for each pair.
        dropout: share of the inputs dropped in training, 0 to 1.
        mean: approximate mean of the training answers. Without it the first updates only learn how large
            answers are.
        std: their approximate standard deviation.

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
        """Return numbers ``(P, 1)`` for pooled vectors ``(P, D)``."""
        return self.mean + self.std * super().forward(pooled)


class PretrainHead(nn.Module):
    """Predict hidden words at text positions, with a decoder tied to the word embeddings, and matches.

    Linear(D, 2).
    """

    READS_TEXT = True

    def __init__(self, hidden_size: int, word_embedding: nn.Embedding, layer_norm_eps: float = 1e-12):
        super().__init__()
        self.num_outputs = 2
        self.transform = Linear(hidden_size, hidden_size, gelu=True)
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.decoder = Linear(hidden_size, word_embedding.num_embeddings)
        self.decoder.weight = word_embedding.weight
        self.match = nn.Linear(hidden_size, 2)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return ITM scores ``(P, 2)`` for pooled vectors ``(P, D)``."""
        return self.match(pooled)

    def score_words(self, rows: Tensor) -> Tensor:
        """Return word scores ``(..., vocab)`` for text rows ``(..., D)``."""
        return self.decoder(self.norm(self.transform(rows)))


class HeadKind(NamedTuple):
    """A head that a configuration can name.

    Attributes:
        num_outputs: A; None where the outputs are the answers of a vocabulary, which ``num_answers`` counts.
        make: builds the module ``(P, D)`` -> ``(P, A)`` from hidden size, number of outputs and dropout.
        groups_options: whether the scores of a video's N texts are one row, ``(B, N)``.
        settings: further keys of ``model_config.clipbert.head`` that ``make`` takes by name.
        asks: what a model with this head can be asked, the preferred first. ``score`` needs two outputs, no
            match and match; ``choose`` one or these two; ``answer`` one for each answer; ``count`` one.
        predicts_words: whether it also predicts hidden words; ``make`` then gets hidden size, word embedding
            and the epsilon of layer norms.
    """

    num_outputs: int | None
    make: Callable[..., nn.Module] = PairHead
    groups_options: bool = False
    settings: tuple[str, ...] = ()
    asks: tuple[Ability, ...] = ()
    predicts_words: bool = False


#: ``choose_by_match`` has the weights of ``match``: a retrieval model answers multiple-choice questions as it
#: is (paper section 4.1, MSRVTT-MC).
HEADS: dict[str, HeadKind] = {
    "match": HeadKind(2, asks=("score", "choose")),
    "classify": HeadKind(None, asks=("answer",)),
    "choose": HeadKind(1, groups_options=True, asks=("choose",)),
    "choose_by_match": HeadKind(2, groups_options=True, asks=("choose", "score")),
    "regress": HeadKind(1, RegressHead, settings=("mean", "std"), asks=("count",)),
    "pretrain": HeadKind(2, PretrainHead, asks=("score", "choose"), predicts_words=True),
}


def find_head(name: str) -> HeadKind:
    """Return a head by name.

    Raises:
        ValueError: if there is none; names those that are known and how a user's own becomes known.
    """
    if name not in HEADS:
        raise ValueError(
            f"the model's head is '{name}'{suggest(name, HEADS)}; known are {', '.join(sorted(HEADS))}. If a "
            f"package of "
            f"yours registers it, name its folder with --user-dir or MMF_USER_DIR, or import it first"
        )
    return HEADS[name]


def guess_head(num_outputs: int, predicts_words: bool = False) -> str:
    """Return the name of the first head with so many outputs; the one with a vocabulary where none has."""
    kinds = {name: kind for name, kind in HEADS.items() if kind.predicts_words == predicts_words}
    fixed = (name for name, kind in kinds.items() if kind.num_outputs == num_outputs)
    return next(fixed, next(name for name, kind in HEADS.items() if kind.num_outputs is None))


def list_heads(ability: Ability) -> list[str]:
    """Return the names of the heads that can be asked by an ability."""
    return [name for name, kind in HEADS.items() if ability in kind.asks]


def register_head(name: str, kind: HeadKind) -> None:
    """Make ``model_config.clipbert.head.type: <name>`` possible.

    The module may have a class attribute ``READS_TEXT``; without one it reads the pooled vector only.

    Raises:
        ValueError: if the name is taken by another head, or ``asks`` holds something else than abilities.
    """
    unknown = [ability for ability in kind.asks if ability not in get_args(Ability)]
    if unknown:
        raise ValueError(
            f"head '{name}' asks {unknown}; allowed are {', '.join(get_args(Ability))}, as in "
            f'HeadKind(2, make, asks=("score", "choose"))'
        )
    known = HEADS.get(name, kind)
    if not is_same_definition(known.make, kind.make) or known._replace(make=kind.make) != kind:
        raise ValueError(f"a head '{name}' is registered already")
    HEADS[name] = kind
