"""Options are read with their question."""

import pytest

from clipbert_mmf.annotations.records import TextRecord
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


def test_questions_must_have_equally_many_options(encoder):
    records = [TextRecord("a", "q", str(n), options=tuple("abc"[: 2 + n]), answer=0) for n in range(2)]
    with pytest.raises(ValueError, match="question '1' has 3 options, the first of the file 2"):
        make("multiple_choice", False, encoder, records).make(1, rng())
    with pytest.raises(ValueError, match="question '0' has no options"):
        make("multiple_choice", False, encoder, [TextRecord("a", "q", "0", answer=0)])
