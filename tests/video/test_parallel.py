"""Calls in threads come back in order, and only a few items are taken ahead."""

import threading

import pytest

from clipbert_mmf.video.parallel import map_in_threads


def test_results_keep_the_order_of_the_items():
    assert list(map_in_threads(lambda item: item * item, range(50), 3)) == [item * item for item in range(50)]


def test_calls_run_at_the_same_time():
    both = threading.Barrier(2, timeout=20)
    assert list(map_in_threads(lambda item: both.wait() >= 0, range(2), 2)) == [True, True]


def test_a_long_list_is_not_queued_at_once():
    taken = []

    def take():
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_in_threads(str, take(), 2)
    assert next(results) == "0" and len(taken) == 8


def test_an_error_of_a_call_is_raised_at_its_place():
    results = map_in_threads(lambda item: 1 // item, [1, 0, 1], 1)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_there_must_be_a_worker():
    with pytest.raises(ValueError, match="num_workers is 0"):
        list(map_in_threads(str, [1], 0))
