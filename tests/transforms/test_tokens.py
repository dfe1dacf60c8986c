"""Texts become WordPiece ids of one length; a wrong tokenizer is named."""

import pytest

from clipbert_mmf.transforms.tokens import (
    TextOptions,
    encode_texts,
    join_options,
    load_tokenizer,
    survey_texts,
)


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


def test_an_option_stays_whole_behind_a_question_that_is_cut(tokenizer_dir):
    tokenizer = load_tokenizer(str(tokenizer_dir))
    question = "what is the red circle near a blue star"
    assert join_options(tokenizer, "what is", ["red circle", "star"], 8) == [
        "what is red circle",
        "what is star",
    ]
    texts = join_options(tokenizer, question, ["red circle", "star"], 8)
    assert texts == ["what is the red red circle", "what is the red circle star"]
    assert join_options(tokenizer, question, ["a b c d e f g"], 6) == ["a b c d e f g"]
    assert join_options(tokenizer, question, ["star"], 8, cut="end") == [f"{question} star"]


def test_a_survey_counts_what_is_cut_and_what_is_unknown(tokenizer_dir):
    tokenizer = load_tokenizer(str(tokenizer_dir))
    survey = survey_texts(tokenizer, ["a red circle", "a red circle near a star", "красный круг"], 6)
    assert (survey.num_cut, survey.longest, survey.num_unknown) == (1, 8, 1)
    line = survey.describe("params")
    assert (
        "1 are cut at max_length=6" in line and "params.max_length=8" in line and "params.tokenizer" in line
    )
    assert "sample" in survey_texts(tokenizer, ["a"], 6, 100).describe("params")
