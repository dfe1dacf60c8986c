"""Results that need no video, by hand."""

import pytest

from clipbert_mmf.scoring import chance


def test_a_random_order_finds_one_of_so_many():
    assert chance.guess_recall(50, 1) == pytest.approx(1 / 50)
    assert chance.guess_recall(50, 10) == pytest.approx(10 / 50)
    assert chance.guess_recall(4, 10) == 1.0
    # Two of four are correct: both of the first two are wrong in 2/4 * 1/3 of the orders.
    assert chance.guess_recall(4, 2, num_correct=2) == pytest.approx(1 - 1 / 6)


def test_the_first_of_several_correct_ones_comes_early():
    assert chance.guess_first_rank(9) == 5.0
    # Orders of two correct among three: the first correct one is first in 2/3 and second in 1/3.
    assert chance.guess_first_rank(3, num_correct=2) == pytest.approx(4 / 3)


def test_a_random_option_depends_on_the_options_of_each_question():
    assert chance.guess_option([2, 4]) == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_the_most_frequent_answer_is_the_best_constant_one():
    assert chance.guess_answer(["cat", "dog", "cat", "man"]) == 0.5


def test_the_best_soft_answer_scores_most_in_sum():
    answers = [{"yes": 1.0, "no": 0.3}, [("no", 0.9)], {}]
    assert chance.guess_soft_answer(answers) == pytest.approx(1.2 / 3)
    assert chance.guess_soft_answer([{}]) == 0.0


def test_the_mean_count_errs_by_the_variance():
    assert chance.guess_count([1, 3]) == 1.0
