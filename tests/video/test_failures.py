"""The record of media that could not be read."""

import json
import math
import multiprocessing

import pytest

from clipbert_mmf.video.failures import FailureLog, TooManyFailuresError


def find_in(table):
    """Return a search by key, and for a part of a video by key and times."""
    return lambda key, window_sec: table.get(key if window_sec is None else (key, window_sec), [])


def test_a_broken_medium_is_counted_logged_and_listed_once(tmp_path, caplog):
    failures = FailureLog("demo (train)", 10, 0.5, tmp_path / "run" / "bad.jsonl")
    for _ in range(3):
        failures.add([4], "video4", "truncated")
    assert failures.num_broken == 1 and failures.is_broken(4) and not failures.is_broken(5)
    assert [json.loads(line) for line in (tmp_path / "run" / "bad.jsonl").read_text().splitlines()] == [
        {"key": "video4", "reason": "truncated", "stamp": ""}
    ]
    assert caplog.text.count("'video4' cannot be read: truncated") == 1


def test_a_later_run_skips_what_an_earlier_one_found(tmp_path):
    FailureLog("demo", 3, 1.0, tmp_path / "bad.jsonl").add([1], "b", "empty")
    later = FailureLog("demo", 3, 1.0, tmp_path / "bad.jsonl")
    assert later.read_bad_list(find_in({"a": [0], "b": [1], "c": [2]})) == 1
    assert later.is_broken(1)


def test_a_medium_that_changed_counts_again(tmp_path):
    FailureLog("demo", 3, 1.0, tmp_path / "bad.jsonl").add([1], "b", "empty", stamp="0 bytes")
    FailureLog("demo", 3, 1.0, tmp_path / "bad.jsonl").add([2], "c", "cut", stamp="9 bytes")
    later = FailureLog("demo", 3, 0.4, tmp_path / "bad.jsonl")
    state = {"b": "12 bytes", "c": "9 bytes"}
    find = find_in({"a": [0], "b": [1], "c": [2]})
    assert later.read_bad_list(find, state.__getitem__) == 1
    assert not later.is_broken(1) and later.is_broken(2)
    # The share is of what is unreadable now.
    later.check()
    state["c"] = "12 bytes"
    assert later.read_bad_list(find, state.__getitem__) == 0


def test_keys_of_another_split_in_the_bad_list_are_ignored(tmp_path):
    FailureLog("demo", 3, 1.0, tmp_path / "bad.jsonl").add([1], "elsewhere", "empty")
    assert FailureLog("demo", 3, 1.0, tmp_path / "bad.jsonl").read_bad_list(find_in({"a": [0]})) == 0


def test_training_stops_above_the_share_and_not_at_it(tmp_path):
    failures = FailureLog("demo", 20, 0.1)
    failures.add([0], "a", "x")
    failures.add([1], "b", "x")
    failures.check()
    failures.add([2], "c", "x")
    with pytest.raises(
        TooManyFailuresError, match="3 of 20 media cannot be read, more than max_failure_share=0.1"
    ):
        failures.check()


def test_a_damaged_bad_list_is_an_error_with_file_and_line(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"key": "a"}\nnonsense\n')
    with pytest.raises(ValueError, match=r"bad.jsonl:2: found 'nonsense'"):
        FailureLog("demo", 3, 1.0, path).read_bad_list(find_in({"a": [0]}))


def test_a_share_outside_zero_to_one_is_an_error():
    with pytest.raises(ValueError, match="max_failure_share is 5"):
        FailureLog("demo", 3, 5)


def _mark(failures):
    failures.add([2], "c", "found in a worker")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_mark_made_in_a_worker_is_seen_by_all(tmp_path, method):
    failures = FailureLog("demo", 4, 1.0, tmp_path / "bad.jsonl")
    context = multiprocessing.get_context(method)
    worker = context.Process(target=_mark, args=(failures,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert failures.is_broken(2)


def test_a_part_that_fails_leaves_the_rest_of_its_video(tmp_path):
    failures = FailureLog("demo", 4, 1.0, tmp_path / "bad.jsonl")
    failures.add([1], "a", "outside", name="'a' from 9 s", window_sec=(9.0, math.inf))
    assert failures.num_broken == 1 and not failures.is_broken(0)
    failures.add([2, 3], "b", "broken")
    later = FailureLog("demo", 4, 1.0, tmp_path / "bad.jsonl")
    table = {"a": [0, 1], ("a", (9.0, math.inf)): [1], "b": [2, 3]}
    assert later.read_bad_list(find_in(table)) == 3 and not later.is_broken(0)
