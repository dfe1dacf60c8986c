"""A real tokenizer and a few records that the tests of the tasks share."""

from __future__ import annotations

import numpy as np
import torch

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.tasks import TASKS


class Encoder:
    """The part of the text processor that makers use, on a tokenizer trained by the fixture."""

    def __init__(self, directory):
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(str(directory))
        self.vocab_size, self.mask_id = len(self.tokenizer), self.tokenizer.mask_token_id

    def __call__(self, texts):
        encoded = self.tokenizer(
            texts, padding="max_length", max_length=12, truncation=True, return_tensors="pt"
        )
        return TokenBatch(
            encoded["input_ids"], encoded["attention_mask"], torch.zeros_like(encoded["input_ids"])
        )

    def is_maskable(self, tokens):
        return ~torch.isin(tokens.input_ids, torch.tensor(self.tokenizer.all_special_ids))

    def decode(self, ids):
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in ids]


RECORDS = [
    TextRecord("b", "a red circle", "0"),
    TextRecord("a", "a blue star", "1"),
    TextRecord("b", "a circle red", "2"),
    TextRecord("c", "two small square", "3"),
    TextRecord("b", "red circle", "4"),
]


def make(task, evaluation, encoder, records=RECORDS, answers=None, **settings):
    if "texts_per_item" in settings:
        settings["texts_per_item"] = dict.fromkeys(("train", "eval"), settings["texts_per_item"])
    packed = PackedRecords.from_records(records)
    return TASKS[task].make_items(
        packed, encoder, settings, "dataset_config.d", is_training=not evaluation, answers=answers
    )


def rng(seed=0):
    return np.random.default_rng(seed)
