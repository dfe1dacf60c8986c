"""Counts are numbers; another answer is named with its question."""

import pytest

from clipbert_mmf.annotations.records import TextRecord
from tests.tasks.making import make, rng


def test_a_count_becomes_a_float(encoder):
    assert (
        make("count", False, encoder, [TextRecord("a", "how many", "0", answer=3)]).make(0, rng())["targets"]
        == 3.0
    )


@pytest.mark.parametrize(
    "answer, message",
    [("many", "has the answer 'many'; expected a number"), (None, "has no answer in the annotations")],
)
def test_an_answer_that_is_no_number_is_named(encoder, answer, message):
    maker = make("count", False, encoder, [TextRecord("a", "how many", "q7", answer=answer)])
    with pytest.raises(ValueError, match=f"question 'q7' {message}"):
        maker.make(0, rng())
