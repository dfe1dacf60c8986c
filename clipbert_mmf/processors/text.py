"""``clipbert_text``: texts to WordPiece ids, ``[CLS] text [SEP]`` padded to one length (paper section 3).

Comes after the dataset picked the texts; the model trims the padding to the longest text of its batch.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from mmf.common.registry import registry
from mmf.datasets.processors.processors import BaseProcessor

from clipbert_mmf.processors.config import read_params
from clipbert_mmf.shapes import TokenBatch


@functools.lru_cache(maxsize=4)
def load_tokenizer(name_or_dir: str):
    """Load a fast Hugging Face tokenizer, once per process.

    Raises:
        ValueError: if it is neither a directory nor a name the hub or its cache knows, or has no ``[MASK]``.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_dir, use_fast=True)
    except (OSError, ValueError) as error:
        what = "this directory holds no tokenizer" if Path(name_or_dir).is_dir() else "no such directory or hub name"
        raise ValueError(
            f"text_processor.params.tokenizer is '{name_or_dir}': {what}. Give a directory with tokenizer.json or "
            f"vocab.txt, or a model name of the Hugging Face hub such as 'bert-base-uncased' ({error})"
        ) from error
    if tokenizer.mask_token_id is None or tokenizer.cls_token_id is None:
        raise ValueError(f"tokenizer '{name_or_dir}' is not BERT-like: it lacks [MASK] or [CLS]")
    return tokenizer


@registry.register_processor("clipbert_text")
class ClipBertTextProcessor(BaseProcessor):
    """Turn a list of texts into a ``TokenBatch``.

    Config keys: ``tokenizer`` (directory or hub name), ``max_length`` (tokens, ``[CLS]`` and ``[SEP]`` included).
    """

    PARAMS = {"tokenizer": None, "max_length": 20}

    def __init__(self, config, *args, **kwargs):
        self.params = read_params("clipbert_text", config, self.PARAMS)
        if not self.params["tokenizer"]:
            raise ValueError("text_processor.params.tokenizer is empty; give a tokenizer directory or a hub name")
        self.tokenizer = load_tokenizer(str(self.params["tokenizer"]))

    @property
    def vocab_size(self) -> int:
        """Number of ids the tokenizer can emit."""
        return len(self.tokenizer)

    @property
    def mask_id(self) -> int:
        """Id of ``[MASK]``."""
        return self.tokenizer.mask_token_id

    def __call__(self, texts: list[str]) -> TokenBatch:
        """Encode ``N`` texts; longer ones are cut so that ``[SEP]`` stays last."""
        encoded = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=int(self.params["max_length"]),
            return_attention_mask=True, return_token_type_ids=False,
        )
        input_ids = torch.tensor(encoded["input_ids"], dtype=torch.int64)
        input_mask = torch.tensor(encoded["attention_mask"], dtype=torch.int64)
        return TokenBatch(input_ids, input_mask, torch.zeros_like(input_ids))

    def is_maskable(self, tokens: TokenBatch) -> torch.Tensor:
        """Return ``(N, L)`` bool: True on word pieces, False on special tokens and padding."""
        special = torch.tensor(sorted(self.tokenizer.all_special_ids))
        return (tokens.input_mask == 1) & ~torch.isin(tokens.input_ids, special)
