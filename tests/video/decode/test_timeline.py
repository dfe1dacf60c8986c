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


#: Ticks a second, ticks from frame to frame: MP4 of 30, 29.97 and 25 frames a second, Matroska's milliseconds.
CLOCKS = [(15360, [512]), (30000, [1001]), (12800, [512]), (1000, [33, 34, 33]), (90000, [3003, 3754])]


@pytest.mark.parametrize("ticks_per_sec, steps", CLOCKS)
def test_frames_at_boundaries_are_those_that_exact_fractions_give(ticks_per_sec, steps):
    tick = Fraction(1, ticks_per_sec)
    ticks = np.concatenate([[0], np.cumsum(np.resize(steps, 359))])
    timeline = make_timeline(ticks, tick, steps[0])
    tolerance = min(tick / 2, Fraction(1, 1000))
    starts = [int(start) * tick for start in ticks]
    # On a start, a quarter of a tick beside it, three quarters beside it, and 32 uniform moments.
    exact = [start + shift * tick / 4 for start in starts for shift in (0, -1, 1, -3, 3)]
    exact += [Fraction(timeline.duration_sec) * Fraction(n, 31) for n in range(32)]
    expected = [
        max((n for n, start in enumerate(starts) if start <= time + tolerance), default=0) for time in exact
    ]
    assert timeline.frames_at(np.array([float(time) for time in exact])).tolist() == expected


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
