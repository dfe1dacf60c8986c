"""Turns texts into WordPiece ids, ``[CLS] text [SEP]`` padded to one length (paper section 3).

The processor that feeds training and ``inference`` both encode here, so that they read a text alike.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clipbert_mmf.shapes import TokenBatch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TextOptions:
    """Settings of encoding texts.

    Attributes:
        tokenizer: directory, or name of a model of the Hugging Face hub.
        max_length: tokens of a text, ``[CLS]`` and ``[SEP]`` included.

    Raises:
        ValueError: without a tokenizer, or for a length below 1.
    """

    tokenizer: str | None = None
    max_length: int = 20

    def __post_init__(self) -> None:
        if not self.tokenizer:
            raise ValueError("tokenizer is empty; give a tokenizer directory or a hub name")
        if self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}; expected a whole number of at least 1")


@functools.lru_cache(maxsize=4)
def load_tokenizer(name_or_dir: str) -> PreTrainedTokenizerBase:
    """Load a fast Hugging Face tokenizer, once per process.

    Raises:
        ValueError: if it is neither a directory nor a name the hub or its cache knows, or has no ``[MASK]``.
    """
    # A second of start-up, which only those who encode texts pay.
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_dir, use_fast=True)
    except (OSError, ValueError) as error:
        what = (
            "this directory holds no tokenizer"
            if Path(name_or_dir).is_dir()
            else "no such directory or hub name"
        )
        raise ValueError(
            f"text_processor.params.tokenizer is '{name_or_dir}': {what}. Give a directory with tokenizer.json or "
            f"vocab.txt, or a model name of the Hugging Face hub such as 'bert-base-uncased' ({error})"
        ) from error
    if tokenizer.mask_token_id is None or tokenizer.cls_token_id is None:
        raise ValueError(f"tokenizer '{name_or_dir}' is not BERT-like: it lacks [MASK] or [CLS]")
    return tokenizer


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int) -> TokenBatch:
    """Encode ``N`` texts; longer ones are cut so that ``[SEP]`` stays last.

    Args:
        tokenizer: as ``load_tokenizer`` returns it.
        texts: N texts.
        max_length: tokens of each, ``[CLS]`` and ``[SEP]`` included.
    """
    encoded = tokenizer(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=max_length,
        return_attention_mask=True,
        return_token_type_ids=False,
    )
    input_ids = torch.tensor(encoded["input_ids"], dtype=torch.int64)
    input_mask = torch.tensor(encoded["attention_mask"], dtype=torch.int64)
    return TokenBatch(input_ids, input_mask, torch.zeros_like(input_ids))
