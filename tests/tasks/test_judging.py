"""Numbers of prediction records: each item counts once, only types that occur are named."""

import pytest

from clipbert_mmf.tasks.judging import count_records, judge_answers

RECORDS = [
    {"item": 0, "media_id": "a", "readable": True, "correct": 1.0, "answer_type": "yes/no"},
    {"item": 0, "media_id": "a", "readable": True, "correct": 0.0, "answer_type": None},
    {"item": 1, "media_id": "b", "readable": False, "correct": 0.0, "answer_type": "what"},
]


def test_an_item_with_two_questions_counts_once():
    assert count_records(RECORDS) == {"num_texts": 3.0, "num_items": 2.0, "num_unreadable": 1.0}


def test_accuracy_is_told_for_the_types_that_occur():
    numbers = judge_answers(RECORDS)
    assert numbers["accuracy"] == pytest.approx(1 / 3) and numbers["accuracy_yes_no"] == 1.0
    assert (
        numbers["accuracy_what"] == 0.0 and numbers["num_texts_what"] == 1.0 and "accuracy_who" not in numbers
    )
