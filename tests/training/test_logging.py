"""A run reports means per item, the time that is left, and records that a resume rewrites."""

import json
import logging

import torch

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


def test_a_long_evaluation_says_what_it_takes_after_its_first_chunk(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(run_logging.time, "monotonic", lambda: now[0])
    for num_pairs in (1_000_000, 1000):  # the second is done in a few seconds
        count = run_logging.PairProgress("test", num_pairs, enabled=True)
        now[0] += 0.5
        count(64)
        now[0] += 0.5
        count(64)
        count.close()
    assert caplog.text.count("pairs") == 1 and "test: 64 of 1000000 pairs" in caplog.text


def test_only_rank_0_reports(caplog):
    caplog.set_level(logging.INFO)
    count = run_logging.PairProgress("x", 10, enabled=False)
    count._last -= 1000
    count(5)
    count.close()
    assert caplog.text == ""


def test_losses_are_means_over_the_items_of_all_batches_and_survive_a_checkpoint():
    window = run_logging.LossWindow(torch.device("cpu"))
    window.add({"loss": torch.tensor(1.0)}, num_local=4, num_global=4)
    stored = window.state()
    resumed = run_logging.LossWindow(torch.device("cpu"))
    resumed.restore(stored, rank=0)
    for part in (window, resumed):
        part.add({"loss": torch.tensor(4.0)}, num_local=2, num_global=2)
        assert part.take() == {"loss": 2.0} and part.take() == {}


def test_a_resumed_run_rewrites_what_came_after_its_checkpoint(tmp_path):
    file = run_logging.MetricsFile(tmp_path, enabled=True)
    for update in (1, 2, 3):
        file.write({"update": update, "loss": float("nan")})
    file.write({"update": 2, "final": True})
    with open(file.path, "a") as written:
        written.write('{"update": 1, "lo')  # the run was killed here
    file.rewind(2)
    assert [json.loads(line) for line in file.path.read_text().splitlines()] == [
        {"update": 1, "loss": None},
        {"update": 2, "loss": None},
    ]


def test_evaluation_does_not_count_as_training_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(run_logging.time, "perf_counter", lambda: now[0])
    watch = run_logging.Stopwatch()
    with watch.waiting():
        now[0] += 1
    watch.count_update()
    with watch.paused():
        now[0] += 100
    now[0] += 3
    assert watch.take() == {"updates_per_sec": 0.25, "data_wait": 0.25}
