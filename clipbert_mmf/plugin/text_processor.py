"""``clipbert_text``: texts to WordPiece ids, ``[CLS] text [SEP]`` padded to one length (paper section 3).

Comes after the dataset picked the texts; the model trims the padding to the longest text of its batch.
"""

from __future__ import annotations

import torch
from mmf.common.registry import registry
from mmf.datasets.processors.processors import BaseProcessor

from clipbert_mmf.plugin.processor_params import read_params
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.transforms.tokens import encode_texts, load_tokenizer


@registry.register_processor("clipbert_text")
class ClipBertTextProcessor(BaseProcessor):
    """Turn a list of texts into a ``TokenBatch``.

    Config keys: ``tokenizer`` (directory or hub name), ``max_length`` (tokens, ``[CLS]`` and ``[SEP]`` included).
    """

    PARAMS = {"tokenizer": None, "max_length": 20}

    def __init__(self, config, *args, **kwargs):
        self.params = read_params("clipbert_text", config, self.PARAMS)
        if not self.params["tokenizer"]:
            raise ValueError(
                "text_processor.params.tokenizer is empty; give a tokenizer directory or a hub name"
            )
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
        return encode_texts(self.tokenizer, texts, int(self.params["max_length"]))

    def is_maskable(self, tokens: TokenBatch) -> torch.Tensor:
        """Return ``(N, L)`` bool: True on word pieces, False on special tokens and padding."""
        special = torch.tensor(sorted(self.tokenizer.all_special_ids))
        return (tokens.input_mask == 1) & ~torch.isin(tokens.input_ids, special)
