"""The checks that parsers share name file, place, what was found and what is expected."""

import pytest

from clipbert_mmf.annotations.records import (
    AnnotationError,
    parse_option_index,
    refuse_twice,
    require,
    require_text,
    require_texts,
)


def test_values_are_returned_and_white_space_is_normalised():
    entry = {"n": 3, "text": " a\n b ", "texts": ["c  d", "e"]}
    assert require(entry, "n", int, "f", "p") == 3
    assert require_text(entry, "text", "f", "p") == "a b" and require_texts(entry, "texts", "f", "p") == (
        "c d",
        "e",
    )
    assert parse_option_index(" 2 ", 3, "f", "p") == parse_option_index(2, 3, "f", "p") == 2


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: require([], "n", int, "f", "p"), "f, p: found .*; expected an object with 'n'"),
        (lambda: require({"m": 1}, "n", int, "f", "p"), "found .'m'.; expected a key 'n'"),
        (
            lambda: require({"n": True}, "n", int, "f", "p"),
            "f, p, 'n': found True; expected a value of type int",
        ),
        (
            lambda: require_texts({"n": ["a", 3]}, "n", "f", "p"),
            "'n'.1.: found 3; expected a value of type str",
        ),
        (lambda: parse_option_index("3", 3, "f", "p"), "found '3'; expected an option's index, 0 to 2"),
        (lambda: refuse_twice({"a"}, "a", "id", "f", "p"), "found 'a'; expected each id once"),
    ],
)
def test_a_wrong_value_is_named(check, message):
    with pytest.raises(AnnotationError, match=message):
        check()


def test_a_long_value_is_cut_in_the_message():
    assert len(str(AnnotationError("f", "p", "x" * 500, "y"))) < 200
