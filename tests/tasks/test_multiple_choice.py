"""Options are read with their question."""

import pytest

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.plugin.processors import ClipBertTextProcessor
from tests.tasks.making import make, rng


def test_options_are_read_with_their_question(encoder):
    record = TextRecord("a", "what shape", "0", options=("circle", "star", "square"), answer=1)
    fields = make("multiple_choice", False, encoder, [record]).make(0, rng())
    assert encoder.decode(fields["input_ids"]) == [
        "what shape circle",
        "what shape star",
        "what shape square",
    ]
    assert fields["targets"].item() == 1


def test_a_question_with_fewer_options_is_filled_under_a_mask(encoder):
    words = ("circle", "star", "square")
    records = [TextRecord("a", "what", str(n), options=words[: 2 + n], answer=n) for n in range(2)]
    items = make("multiple_choice", False, encoder, records)
    short, full = items.make(0, rng()), items.make(1, rng())
    assert short["input_ids"].shape == full["input_ids"].shape == (3, 12)
    assert short["option_mask"].tolist() == [1, 1, 0] and full["option_mask"].tolist() == [1, 1, 1]


def test_a_question_without_options_is_refused(encoder):
    with pytest.raises(ValueError, match="question '0' about 'a' has no options"):
        make("multiple_choice", False, encoder, [TextRecord("a", "q", "0", answer=0)])


def test_a_long_question_is_cut_and_options_stay_apart(tokenizer_dir):
    record = TextRecord("a", "what shape is the red " * 9, "0", options=("circle", "star"), answer=1)
    processor = ClipBertTextProcessor({"tokenizer": str(tokenizer_dir), "max_length": 8})
    fields = make("multiple_choice", False, processor, [record]).make(0, rng())
    ends = [processor.tokenizer.decode(row, skip_special_tokens=True) for row in fields["input_ids"]]
    assert [text.split()[-1] for text in ends] == ["circle", "star"]
    assert all(text.startswith("what shape is") for text in ends)
    released = ClipBertTextProcessor({"tokenizer": str(tokenizer_dir), "max_length": 8, "cut": "end"})
    first, second = make("multiple_choice", False, released, [record]).make(0, rng())["input_ids"].tolist()
    assert first == second


def test_options_that_are_the_same_tokens_are_an_error_that_names_the_question(tokenizer_dir):
    options = ("круг", "звезда")
    record = TextRecord("a", "what", "q7", options=options, answer=1)
    processor = ClipBertTextProcessor({"tokenizer": str(tokenizer_dir), "max_length": 8})
    items = make("multiple_choice", False, processor, [record])
    for check in (items.check_texts, lambda: items.make(0, rng())):
        with pytest.raises(ValueError, match="question 'q7' about 'a'.*'круг' and 'звезда'"):
            check()
