"""Questions are answered from a vocabulary, which must be there."""

import pytest
import torch

from clipbert_mmf.annotations.records import TextRecord
from tests.tasks.making import make, rng


def test_no_text_counts_twice_in_evaluation(encoder):
    maker = make(
        "open_ended",
        True,
        encoder,
        [TextRecord("a", f"what color {word}", word, answer=word) for word in ("red", "blue", "star")],
        {"red": 0, "blue": 1},
        texts_per_item=2,
    )
    fields = [maker.make(item, rng()) for item in range(len(maker))]
    assert torch.cat([field["text_index"] for field in fields]).tolist() == [0, 1, 2, -1]
    assert fields[0]["targets"].tolist() == [0, 1] and fields[1]["targets"].tolist()[0] == -1


def test_classification_without_answers_is_an_error(encoder):
    with pytest.raises(ValueError, match="needs an answer vocabulary"):
        make("open_ended", False, encoder)
