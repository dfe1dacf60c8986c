"""Texts become WordPiece ids of one length; a wrong tokenizer is named."""

import pytest

from clipbert_mmf.transforms.tokens import (
    StoredTokenizer,
    TextOptions,
    count_words,
    encode_texts,
    join_options,
    keep_tokenizer,
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


def test_a_vocabulary_alone_is_a_tokenizer(tokenizer_dir, tmp_path):
    folder = tmp_path / "albert"  # a name in which transformers would find another kind of model
    folder.mkdir()
    words = sorted(load_tokenizer(str(tokenizer_dir)).get_vocab().items(), key=lambda pair: pair[1])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    whole = StoredTokenizer.of(load_tokenizer(str(tokenizer_dir)))
    for name in (folder, folder / "vocab.txt"):
        found = StoredTokenizer.of(load_tokenizer(str(name)))
        assert whole and found and found.identity == whole.identity
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words) + "Paris\n")
    cased = load_tokenizer(str(folder))  # files that were replaced are read again
    assert cased.tokenize("Paris") == ["Paris"] and count_words(cased) == len(words) + 1
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nred\n")
    with pytest.raises(ValueError, match=r"vocab\.txt lacks \[MASK\]"):
        load_tokenizer(str(folder))


def test_a_tokenizer_travels_as_text(tokenizer_dir):
    tokenizer = load_tokenizer(str(tokenizer_dir))
    texts = ["a red circle", "two"]
    expected = encode_texts(tokenizer, texts, 8)
    stored = StoredTokenizer.of(tokenizer)
    assert stored and stored == StoredTokenizer.of(stored.load())
    again = load_tokenizer(keep_tokenizer(stored, "best.ckpt"))
    assert all((a == b).all() for a, b in zip(expected, encode_texts(again, texts, 8), strict=True))
    assert count_words(again) == count_words(tokenizer) == stored.num_words


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
