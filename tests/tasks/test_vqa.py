"""Every answer of the vocabulary has the score that people gave it."""

import torch

from clipbert_mmf.annotations.records import TextRecord
from tests.tasks.making import make, rng


def test_answers_outside_the_vocabulary_are_left_out(encoder):
    soft = TextRecord("a", "what color", "0", soft_answers=(("red", 0.9), ("pink", 0.3)))
    maker = make("vqa", False, encoder, [soft], {"blue": 0, "red": 1}, texts_per_item=1)
    torch.testing.assert_close(maker.make(0, rng())["targets"], torch.tensor([[0.0, 0.9]]))
