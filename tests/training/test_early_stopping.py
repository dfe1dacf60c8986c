"""The best validation is remembered, and training ends when no better one follows."""

import pytest

from clipbert_mmf.training.early_stopping import EarlyStopping
from clipbert_mmf.training.options import EarlyStopOptions

KEY = "val/msrvtt_retrieval/clipbert_retrieval/t2v_r1"


def make(**options):
    return EarlyStopping(
        EarlyStopOptions(criteria="msrvtt_retrieval/clipbert_retrieval/t2v_r1", minimize=False, **options)
    )


def test_a_criterion_with_val_inside_a_name_gets_the_split_before_it():
    assert make().early_stop_criteria == KEY


def test_training_ends_after_the_patience_only_where_it_is_enabled():
    for enabled in (True, False):
        stopping = make(enabled=enabled, patience=2)
        bests = [
            stopping.update({KEY: value}, update, 2 * update)
            for update, value in enumerate([3, 5, 4, 4, 4], 1)
        ]
        assert bests == [True, True, False, False, False]
        assert stopping.should_stop is enabled and stopping.has_best
        assert (stopping.best_monitored_update, stopping.best_monitored_iteration) == (2, 4)


def test_the_best_value_is_restored_unless_another_number_was_watched():
    stored = make()
    stored.update({KEY: 0.5}, 3, 6)
    for criterion, best in ((KEY, 0.5), (None, 0.5), ("val/total_loss", float("-inf"))):
        stopping = make()
        stopping.restore(stored.describe(), criterion)
        assert stopping.best_monitored_value == best


def test_a_number_that_validation_does_not_measure_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=f"criteria is '{KEY}', but validation gave .*did you mean '{KEY}0'"):
        make().update({f"{KEY}0": 0.1}, 1, 1)
