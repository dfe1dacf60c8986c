"""The text processor on a real WordPiece tokenizer."""

import pickle

import pytest
import torch

from clipbert_mmf.plugin.text_processor import ClipBertTextProcessor


@pytest.fixture()
def processor(tokenizer_dir):
    return ClipBertTextProcessor({"tokenizer": str(tokenizer_dir), "max_length": 8})


def test_texts_are_framed_by_special_tokens_and_padded(processor):
    tokens = processor(["a red circle", "two"])
    assert tokens.input_ids.shape == tokens.input_mask.shape == tokens.segment_ids.shape == (2, 8)
    tokenizer = processor.tokenizer
    assert tokens.input_mask.sum(1).tolist() == [5, 3]
    assert tokens.input_ids[0, 0] == tokenizer.cls_token_id
    assert tokens.input_ids[0, 4] == tokenizer.sep_token_id
    assert (tokens.input_ids[0, 5:] == tokenizer.pad_token_id).all()
    assert tokenizer.decode(tokens.input_ids[0, 1:4]) == "a red circle"
    assert (tokens.segment_ids == 0).all()


def test_a_long_text_is_cut_and_still_ends_with_sep(processor):
    tokens = processor(["a red circle then two green small squares on the left"])
    assert tokens.input_mask.sum() == 8
    assert tokens.input_ids[0, -1] == processor.tokenizer.sep_token_id


def test_only_word_pieces_are_maskable(processor):
    tokens = processor(["a red circle"])
    assert processor.is_maskable(tokens).tolist() == [[False, True, True, True, False, False, False, False]]


def test_it_travels_to_a_worker(processor):
    copy = pickle.loads(pickle.dumps(processor))
    assert torch.equal(copy(["a star"]).input_ids, processor(["a star"]).input_ids)


def test_unknown_params_are_named():
    with pytest.raises(
        ValueError, match=r"unknown params \['max_len'\]; allowed are \['max_length', 'tokenizer'\]"
    ):
        ClipBertTextProcessor({"tokenizer": "x", "max_len": 8})


def test_a_directory_without_a_tokenizer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="this directory holds no tokenizer"):
        ClipBertTextProcessor({"tokenizer": str(tmp_path)})
