"""The one rule that says which frame is on screen at a time."""

from fractions import Fraction

import numpy as np
import pytest

from clipbert_mmf.video.decode.timeline import make_timeline


def test_the_frame_at_a_time_is_the_last_one_that_started():
    timeline = make_timeline([0, 10, 30], Fraction(1, 100), 5)
    times = [-1.0, 0.0, 0.05, 0.0999, 0.1, 0.2, 0.298, 0.3, 99.0]
    assert timeline.frames_at(times).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_times_count_from_the_first_frame():
    timeline = make_timeline([512, 1024, 1536], Fraction(1, 512), None)
    assert timeline.times_sec.tolist() == [0.0, 1.0, 2.0]
    assert timeline.duration_sec == 3.0


def test_times_rounded_by_the_container_still_find_their_frame():
    fps, num_frames = 30000 / 1001, 200
    milliseconds = np.round(np.arange(num_frames) / fps * 1000).astype(int)
    timeline = make_timeline(milliseconds, Fraction(1, 1000), 33)
    assert timeline.frames_at(np.arange(num_frames) / fps).tolist() == list(range(num_frames))


def test_a_tick_as_long_as_a_frame_gives_no_tolerance():
    timeline = make_timeline(np.arange(50), Fraction(1, 25), 1)
    assert timeline.frames_at((np.arange(50) + 0.9) / 25).tolist() == list(range(50))


def test_exact_frame_times_find_their_frame_however_they_were_computed():
    timeline = make_timeline(np.arange(3000) * 1001, Fraction(1, 30000), 1001)
    for times in (np.arange(3000) * 1001 / 30000, np.cumsum(np.full(3000, 1001 / 30000)) - 1001 / 30000):
        assert timeline.frames_at(times).tolist() == list(range(3000))


@pytest.mark.parametrize("last", [None, 0])
def test_a_last_frame_of_unknown_length_is_as_long_as_the_typical_one(last):
    assert make_timeline([0, 4, 8, 20], Fraction(1, 4), last).duration_sec == 6.0


def test_a_single_frame_of_unknown_length_is_a_25th_of_a_second():
    assert make_timeline([7], Fraction(1, 1000), None).duration_sec == pytest.approx(0.04)


def test_order_of_the_packets_does_not_matter():
    times = make_timeline([0, 3, 1, 2], Fraction(1), 1).times_sec
    assert times.tolist() == [0, 1, 2, 3]


def test_times_count_from_the_start_of_the_file():
    timeline = make_timeline([20, 30], Fraction(1, 10), 10, 1.0)
    assert timeline.times_sec.tolist() == [1.0, 2.0] and timeline.start_sec == 1.0
    assert timeline.duration_sec == 3.0 and timeline.frames_at([0.0, 1.5, 2.0]).tolist() == [0, 0, 1]
    # A start that is only rounded, or later than the first frame, is the first frame's.
    assert make_timeline([2000, 3000], Fraction(1, 90000), 10, 0.0222221).start_sec == 0.0
    assert make_timeline([20, 30], Fraction(1, 10), 10, 2.5).times_sec.tolist() == [0.0, 1.0]
