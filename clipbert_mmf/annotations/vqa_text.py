"""Normalizes answers by the text rules of VQA's official evaluation: equal meanings become equal strings."""

from __future__ import annotations

import re

_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
#: Contractions whose apostrophe people leave out.
_CONTRACTIONS = {
    form.replace("'", ""): form
    for form in [
        "ain't",
        "aren't",
        "can't",
        "could've",
        "couldn't",
        "didn't",
        "doesn't",
        "don't",
        "hadn't",
        "hasn't",
        "haven't",
        "he'd",
        "he's",
        "how'd",
        "how'll",
        "how's",
        "i'd",
        "i'm",
        "i've",
        "isn't",
        "it'd",
        "it'll",
        "let's",
        "ma'am",
        "mightn't",
        "might've",
        "mustn't",
        "must've",
        "needn't",
        "not've",
        "o'clock",
        "oughtn't",
        "shan't",
        "should've",
        "shouldn't",
        "somebody's",
        "someone's",
        "something's",
        "that'd",
        "that's",
        "there'd",
        "there're",
        "there's",
        "they'd",
        "they'll",
        "they're",
        "they've",
        "wasn't",
        "we've",
        "weren't",
        "what'll",
        "what're",
        "what's",
        "what've",
        "when's",
        "where'd",
        "where's",
        "where've",
        "who'd",
        "who'll",
        "who's",
        "who've",
        "why'll",
        "why're",
        "why's",
        "won't",
        "would've",
        "wouldn't",
        "y'all",
        "you'd",
        "you'll",
        "you're",
        "you've",
    ]
}
_COMMA_IN_NUMBER = re.compile(r"(\d),(\d)")
_STRAY_PERIOD = re.compile(r"(?<!\d)\.(?!\d)")


def _strip_punctuation(answer: str) -> str:
    text = answer
    has_number_comma = _COMMA_IN_NUMBER.search(answer) is not None
    for mark in _PUNCTUATION:
        if f"{mark} " in answer or f" {mark}" in answer or has_number_comma:
            text = text.replace(mark, "")
        else:
            text = text.replace(mark, " ")
    return _STRAY_PERIOD.sub("", text)


def normalize_answer(answer: str) -> str:
    """Return an answer as the official evaluation compares it.

    Lower case; punctuation removed, or a blank where it joined words; number words as digits; articles
    dropped; apostrophes put back into contractions. An answer of which nothing is left, such as ``a`` or
    ``the``, stays as written.
    """
    text = _strip_punctuation(answer.replace("\n", " ").replace("\t", " ").strip()).lower()
    words = (_NUMBERS.get(word, word) for word in text.split())
    kept = " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
    return kept or " ".join(answer.split())
