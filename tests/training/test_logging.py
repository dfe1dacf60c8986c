"""The time that is left of an evaluation is reported by pairs."""

import logging

from clipbert_mmf.training import logging as run_logging


def test_the_time_left_follows_from_the_pairs_that_are_done(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = [100.0]
    monkeypatch.setattr(run_logging.time, "monotonic", lambda: now[0])
    count = run_logging.PairProgress("test of msrvtt_retrieval", 1000, enabled=True)
    now[0] += 20
    count(250)
    assert count.left_sec == 60
    assert "test of msrvtt_retrieval: 250 of 1000 pairs (of this process), 0:01:00 left" in caplog.text
    now[0] += 5
    count(250)
    assert count.left_sec == 25 and caplog.text.count("pairs") == 1
    count.close()


def test_only_rank_0_reports(caplog):
    caplog.set_level(logging.INFO)
    count = run_logging.PairProgress("x", 10, enabled=False)
    count._last -= 1000
    count(5)
    count.close()
    assert caplog.text == ""
