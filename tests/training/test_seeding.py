"""Draws depend on the place in the run, and on nothing that was drawn before."""

import random

import numpy as np
import torch

from clipbert_mmf.training.seeding import numpy_seeded, seed_all


def draw(*parts):
    seed_all(*parts)
    return float(torch.rand(())), float(np.random.rand()), random.random()


def test_the_same_place_draws_the_same_and_another_place_something_else():
    first = draw(1, "update", 5, 0)
    torch.rand(3)
    assert draw(1, "update", 5, 0) == first
    for parts in ((2, "update", 5, 0), (1, "epoch", 5, 0), (1, "update", 6, 0), (1, "update", 5, 1)):
        assert not set(draw(*parts)) & set(first)


def test_numpys_generator_is_as_before_after_a_seeded_block():
    np.random.seed(4)
    expected = np.random.rand(2).tolist()
    np.random.seed(4)
    found = [np.random.rand()]
    with numpy_seeded(1, "datasets", 2):
        np.random.rand()
    assert [*found, np.random.rand()] == expected
