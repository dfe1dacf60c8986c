"""Answers that VQA's official evaluation takes for equal become equal."""

import pytest

from clipbert_mmf.annotations.vqa_text import normalize_answer


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("The Dog", "dog"),
        (" two\ncats ", "2 cats"),
        ("none", "0"),
        ("dont", "don't"),
        ("1,000", "1000"),
        ("yes, sir", "yes sir"),
        ("black/white", "black white"),
        ("3.5", "3.5"),
        ("st. john", "st john"),
        ("an", "an"),
        ("The", "The"),
        ("a", "a"),
    ],
)
def test_an_answer_is_normalised(given, expected):
    assert normalize_answer(given) == expected
