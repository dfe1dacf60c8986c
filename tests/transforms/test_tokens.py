"""Texts become WordPiece ids of one length; a wrong tokenizer is named."""

import pytest

from clipbert_mmf.transforms.tokens import TextOptions, encode_texts, load_tokenizer


def test_texts_are_encoded_to_one_length(tokenizer_dir):
    tokenizer = load_tokenizer(str(tokenizer_dir))
    tokens = encode_texts(tokenizer, ["a red circle", "two"], 8)
    assert tokens.input_ids.shape == (2, 8) and tokens.input_mask.sum(1).tolist() == [5, 3]
    assert tokenizer.decode(tokens.input_ids[0, 1:4]) == "a red circle" and not tokens.segment_ids.any()
    assert load_tokenizer(str(tokenizer_dir)) is tokenizer


def test_a_directory_without_a_tokenizer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="this directory holds no tokenizer"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"),
    [({}, "tokenizer is empty"), ({"tokenizer": "x", "max_length": 0}, "max_length is 0")],
)
def test_wrong_options_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        TextOptions(**values)
