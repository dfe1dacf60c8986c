"""Moments that become frames: truth tables, then properties that hold for every sampler."""

from dataclasses import dataclass

import numpy as np
import pytest

from clipbert_mmf.video.errors import OutsideVideoError
from clipbert_mmf.video.sampling import SAMPLERS, ClipChooser, sample_clips

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("how", "num_clips", "expected_starts"),
    [
        ("uniform", 1, [4.5]),
        ("uniform", 2, [0, 9]),
        ("uniform", 4, [0, 3, 6, 9]),
        ("dense", 1, [4.5]),
        ("dense", 3, [1.5, 4.5, 7.5]),
        ("released", 1, [0.05]),
        ("released", 3, [0.05, 3.05, 6.05]),
        ("middle", 1, [4.5]),
        ("middle", 2, [4.5, 4.5]),
    ],
)
def test_clip_starts_follow_the_table(how, num_clips, expected_starts):
    times = sample_clips(how, 10.0, num_clips, 2, 1.0, fps=10)
    np.testing.assert_allclose(times[:, 0], expected_starts)


@pytest.mark.parametrize(
    ("how", "num_frames", "expected_offsets"),
    [
        ("uniform", 1, [0.0]),
        ("middle", 1, [0.5]),
        ("uniform", 2, [0.0, 0.9]),
        ("middle", 2, [0.0, 0.9]),
        ("uniform", 4, [0.0, 0.3, 0.6, 0.9]),
        ("released", 10, 0.05 + np.arange(10) / 10),
    ],
)
def test_frames_of_a_clip_reach_from_its_first_to_its_last_frame(how, num_frames, expected_offsets):
    times = sample_clips(how, 10.0, 3, num_frames, 1.0, fps=10)
    start = {"middle": 4.5}.get(how, 0.0)
    np.testing.assert_allclose(times[0] - start, expected_offsets)


def test_uniform_sampling_reaches_both_ends():
    times = sample_clips("uniform", 12.0, 16, 2, 1.0, fps=30)
    assert times[0, 0] == 0.0
    assert times[-1, -1] == pytest.approx(12.0 - 1 / 30)


@pytest.mark.parametrize(
    ("num_frames", "fps", "shown"),
    [
        # Starts 0, 22.5, 45 and 67.5 of 120 frames with clips of 30: the next whole frame, then 29 further.
        (2, 30.0, [[0, 29], [23, 52], [45, 74], [68, 97]]),
        # 28.97 frames from the first to the last are 28; 45.02 begins with frame 46.
        (2, 29.97, [[0, 28], [23, 51], [46, 74], [68, 96]]),
        (1, 30.0, [[0], [23], [45], [68]]),
        (4, 30.0, [[0, 9, 19, 29], [23, 32, 42, 52], [45, 54, 64, 74], [68, 77, 87, 97]]),
    ],
)
def test_released_sampling_counts_whole_frames(num_frames, fps, shown):
    times = sample_clips("released", 120 / fps, 4, num_frames, 1.0, fps=fps)
    np.testing.assert_array_equal(np.floor(times * fps), shown)


def test_released_sampling_keeps_the_rate_of_a_short_video_and_repeats_its_last_frame():
    times = sample_clips("released", 0.4, 2, 4, 2.0, fps=10)
    np.testing.assert_array_equal(np.floor(times * 10), [[0, 3, 3, 3]] * 2)
    inside = sample_clips("released", 60.0, 2, 4, 2.0, fps=10, window_sec=(20.0, 20.4))
    np.testing.assert_allclose(inside, times + 20.0)


def test_released_sampling_never_reaches_the_end():
    assert sample_clips("released", 12.0, 16, 2, 1.0).max() < 12.0 - 11 / 16 + 0.5 / 30


def test_random_clips_cover_the_video_independently_and_uniformly():
    starts = sample_clips("random", 11.0, 20000, 1, 1.0, RNG(0))[:, 0]
    assert starts.min() >= 0 and starts.max() <= 10
    counts, _ = np.histogram(starts, bins=10, range=(0, 10))
    assert np.abs(counts - 2000).max() < 250
    assert abs(np.corrcoef(starts[:-1], starts[1:])[0, 1]) < 0.03


def test_random_sampling_is_reproducible_from_its_generator():
    draws = [sample_clips("random", 9.0, 4, 2, 1.0, RNG([1, 2, 3])) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    assert not np.array_equal(draws[0], sample_clips("random", 9.0, 4, 2, 1.0, RNG([1, 2, 4])))


@pytest.mark.parametrize("how", sorted(SAMPLERS))
@pytest.mark.parametrize("duration", [0.0, 0.04, 0.5, 1.0, 7.3, 600.0])
def test_every_time_lies_inside_the_video(how, duration):
    times = sample_clips(how, duration, 5, 3, 1.0, RNG(0))
    assert times.shape == (5, 3) and times.dtype == np.float64
    assert times.min() >= 0 and times.max() <= duration
    assert (np.diff(times, axis=1) >= 0).all()


@pytest.mark.parametrize("how", sorted(set(SAMPLERS) - {"released"}))
def test_a_video_shorter_than_the_clip_is_used_whole(how):
    times = sample_clips(how, 0.5, 2, 2, 4.0, RNG(0), fps=10)
    np.testing.assert_allclose(times, [[0.0, 0.4]] * 2)


@pytest.mark.parametrize("how", sorted(SAMPLERS))
def test_a_window_moves_the_clips_into_it(how):
    whole = sample_clips(how, 5.0, 3, 2, 1.0, RNG(0), fps=10)
    inside = sample_clips(how, 60.0, 3, 2, 1.0, RNG(0), window_sec=(20.0, 25.0), fps=10)
    np.testing.assert_allclose(inside, whole + 20.0)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ((0.0, 30.0), (0.0, 9.9)),
        ((-5.0, 4.0), (0.0, 3.9)),
        ((8.0, 99.0), (8.0, 9.9)),
        ((50.0, 60.0), (10.0, 10.0)),
    ],
)
def test_a_window_beyond_the_video_is_cut_to_it(window, expected):
    times = sample_clips("uniform", 10.0, 2, 2, 1.0, window_sec=window, fps=10)
    assert times.min() == pytest.approx(expected[0]) and times.max() == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"how": "often"}, r"sampling is 'often'; allowed are \['dense', 'middle'"),
        ({"num_clips": 0}, "expected at least 1"),
        ({"num_frames": 0}, "expected at least 1"),
        ({"clip_len_sec": 0.0}, "clip_len_sec is 0.0"),
        ({"duration_sec": -1.0}, "duration_sec is -1.0"),
        ({"window_sec": (4.0, 2.0)}, "start before its end"),
        ({"how": "random"}, "needs a generator"),
    ],
)
def test_a_wrong_argument_is_named(change, message):
    arguments = {
        "how": "uniform",
        "duration_sec": 5.0,
        "num_clips": 1,
        "num_frames": 1,
        "clip_len_sec": 1.0,
    } | change
    with pytest.raises(ValueError, match=message):
        sample_clips(**arguments)


@dataclass
class LateVideo:
    start_sec: float = 2.0
    duration_sec: float = 8.0
    fps: float = 10.0


def test_clips_lie_where_there_are_pictures():
    chooser = ClipChooser("uniform", 4, 2, 1.0)
    chooser(LateVideo())
    assert chooser.spans_sec[0, 0] == 2.0 and chooser.spans_sec[-1, 1] == 8.0
    inside = ClipChooser("uniform", 2, 1, 1.0, window_sec=(3.0, 5.0))
    assert inside(LateVideo()).min() == 3.0 and inside.spans_sec.max() == 5.0
    cut = ClipChooser("uniform", 2, 1, 1.0, window_sec=(0.0, 5.0))
    cut(LateVideo())
    assert cut.spans_sec.min() == 2.0
    with pytest.raises(OutsideVideoError, match="from 0 to 1.5 s lies outside"):
        ClipChooser("uniform", 2, 1, 1.0, window_sec=(0.0, 1.5))(LateVideo())
