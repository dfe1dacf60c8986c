"""The time that is left of an evaluation is told by pairs."""

import logging

from clipbert_mmf.training import progress


def test_the_time_left_follows_from_the_pairs_that_are_done(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    count = progress.PairProgress("test of msrvtt_retrieval", 1000, enabled=True)
    now[0] += 20
    count(250)
    assert count.seconds_left == 60
    assert "test of msrvtt_retrieval: 250 of 1000 pairs (of this process), 0:01:00 left" in caplog.text
    now[0] += 5
    count(250)
    assert count.seconds_left == 25 and caplog.text.count("pairs") == 1
    count.close()


def test_only_the_first_process_tells(caplog):
    caplog.set_level(logging.INFO)
    count = progress.PairProgress("x", 10, enabled=False)
    count._last -= 1000
    count(5)
    count.close()
    assert caplog.text == ""
