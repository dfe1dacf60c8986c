"""Fixtures shared by all tests: a real tokenizer, and a fresh MMF registry entry for what runs leave behind."""

from __future__ import annotations

import pytest

WORDS = (
    "a large small red green blue yellow circle square triangle star on the left right top bottom then two three "
    "what color shape is it how many moves jumps turns black white man dog runs with near of and in"
)


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory):
    """Directory of a real WordPiece tokenizer, trained here."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    directory = tmp_path_factory.mktemp("tokenizer")
    trained = BertWordPieceTokenizer()
    trained.train_from_iterator([WORDS] * 8, vocab_size=400, min_frequency=1, show_progress=False)
    trained.save_model(str(directory))
    BertTokenizerFast(vocab_file=str(directory / "vocab.txt")).save_pretrained(directory)
    return directory
