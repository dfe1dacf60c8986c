"""Frames in place of a file are checked once and timed like a video."""

import numpy as np
import pytest
import torch

from clipbert_mmf.video.decoded import DecodedVideo


def test_a_picture_and_a_tensor_are_taken_as_frames():
    assert DecodedVideo(np.zeros((4, 6, 3), np.uint8)).frames.shape == (1, 4, 6, 3)
    video = DecodedVideo(torch.zeros(8, 4, 6, 3, dtype=torch.uint8), fps=4)
    assert isinstance(video.frames, np.ndarray) and video.duration_sec == 2.0


def test_the_frame_on_screen_is_found_and_times_outside_show_the_ends():
    video = DecodedVideo(np.zeros((8, 4, 6, 3), np.uint8), fps=4)
    assert video.frames_at(np.array([[-1.0, 0.0], [0.25, 0.49], [1.99, 9.0]])).tolist() == [
        [0, 0],
        [1, 1],
        [7, 7],
    ]


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (np.zeros((4, 6, 3)), 30, "float64; expected"),
        (np.zeros((2, 3, 4, 6), np.uint8), 30, r"shape \(2, 3, 4, 6\)"),
        (np.zeros((0, 4, 6, 3), np.uint8), 30, r"shape \(0, 4, 6, 3\)"),
        (np.zeros((4, 6, 3), np.uint8), 0, "fps is 0"),
    ],
)
def test_what_is_no_video_is_named(frames, fps, message):
    with pytest.raises(ValueError, match=message):
        DecodedVideo(frames, fps)
