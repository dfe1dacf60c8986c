"""Transforms texts before and after tokenisation.

Question with option, and the masks of masked language modelling.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.shapes import IGNORED_TOKEN


def normalize_whitespace(text: str) -> str:
    """Collapse runs of white space to one blank and strip both ends; the owners' files hold stray ones."""
    return " ".join(text.split())


def simplify_text(text: str) -> str:
    """Return the letters and digits alone, without case and accents: equal wherever a tokenizer makes equal tokens."""
    if text.isascii():
        return _NO_WORD.sub("", text.lower())
    return "".join(letter for letter in unicodedata.normalize("NFKD", text.casefold()) if letter.isalnum())


_NO_WORD = re.compile("[^0-9a-z]+")


def join_question_and_option(question: str, option: str) -> str:
    """Return the text of one option of a multiple-choice question: question, blank, option."""
    return normalize_whitespace(f"{question} {option}")


def mask_tokens(
    input_ids: Tensor,
    maskable: Tensor,
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocab_size: int,
    probability: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """Mask tokens as BERT does: of the chosen ones 80 % become ``[MASK]``, 10 % a random word, 10 % stay.

    Args:
        input_ids: ``(N, L)`` int64; not changed.
        maskable: ``(N, L)`` bool, False on special tokens and padding.
        rng: draws the choice, the kind and the random words, in that order.
        mask_id: id of ``[MASK]``.
        vocab_size: random words are drawn from ``[0, vocab_size)``.
        probability: share of maskable tokens that are chosen, in [0, 1].

    Returns:
        The masked ids and the labels, both ``(N, L)`` int64; labels are ``IGNORED_TOKEN`` where nothing is
        predicted.

    Raises:
        ValueError: if ``probability`` is outside [0, 1].
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"mlm probability is {probability}; expected a share between 0 and 1")
    shape = tuple(input_ids.shape)
    chosen = torch.from_numpy(rng.random(shape) < probability) & maskable.bool()
    kind = torch.from_numpy(rng.random(shape))
    words = torch.from_numpy(rng.integers(0, vocab_size, shape))
    hidden = torch.where(chosen & (kind < 0.8), torch.full_like(input_ids, mask_id), input_ids)
    hidden = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), words, hidden)
    return hidden, torch.where(chosen, input_ids, torch.full_like(input_ids, IGNORED_TOKEN))
