"""Values of the command line that cannot be meant are errors with the name of their option."""

import argparse

import pytest

from clipbert_mmf.cli.values import count, filled, place, positive, setting


@pytest.mark.parametrize(
    "kind, text",
    [
        (count(), "0"),
        (count(0), "-1"),
        (count(), "1.5"),
        (positive, "nan"),
        (positive, "inf"),
        (positive, "0"),
    ],
)
def test_a_number_out_of_range_is_refused(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}': expected a"):
        kind(text)


def test_numbers_and_names_in_range_are_taken():
    assert count(0)("0") == 0 and count()("12") == 12 and positive("1e-3") == 0.001
    assert filled("a") == "a" and str(place("a/b")) == "a/b"
    for kind in (filled, place):
        with pytest.raises(argparse.ArgumentTypeError, match="it is empty"):
            kind("")


def test_an_option_of_a_run_has_a_key_and_a_value():
    assert setting("training.seed=1") == "training.seed=1" and setting("a.b=") == "a.b="
    for text in ("foo", "=1", "a red=circle"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}': expected KEY=VALUE"):
            setting(text)
