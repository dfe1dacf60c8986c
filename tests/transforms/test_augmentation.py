"""Random changes of training frames."""

import numpy as np
import pytest
import torch

from clipbert_mmf.transforms.augmentation import Change, change_and_pad, draw_change
from clipbert_mmf.transforms.frames import pad_channels_last


def make_frame(height=30, width=60):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_no_change_is_what_evaluation_reads():
    frame = make_frame()
    assert torch.equal(change_and_pad(frame, 40, Change()), pad_channels_last(frame, 40))


def test_a_mirror_image_changes_sides_and_leaves_the_padding():
    frame = make_frame()
    plain, mirrored = pad_channels_last(frame, 40), change_and_pad(frame, 40, Change(is_mirrored=True))
    assert torch.equal(mirrored[:, :20], plain[:, :20].flip(-1)) and not mirrored[:, 20:].any()


def test_a_crop_fills_the_place_of_the_whole_frame():
    frame = make_frame(40, 40)
    frame[:, :20] = 200
    frame[:, 20:] = 10
    left = change_and_pad(frame, 32, Change(crop=(0.25, 0.0, 0.5, 0.5)))
    assert left.shape == (3, 32, 32) and (left == 200).all()


def test_colors_change_inside_the_picture_alone():
    frame = make_frame()
    bright = change_and_pad(frame, 40, Change(brightness=2.0))
    expected = (pad_channels_last(frame, 40).float() * 2).clamp(max=255)
    assert (bright.float() - expected).abs().max() <= 1 and not bright[:, 20:].any()


@pytest.mark.parametrize("crop_area, mirror, jitter", [(0.3, 0.5, 0.4), (1.0, 0.0, 0.0)])
def test_draws_stay_in_their_limits(crop_area, mirror, jitter):
    rng = np.random.default_rng(1)
    for _ in range(200):
        change = draw_change(rng, crop_area, mirror, jitter)
        top, left, height, width = change.crop
        assert 0 <= top <= 1 - height + 1e-9 and 0 <= left <= 1 - width + 1e-9
        assert crop_area * 0.74 <= height * width <= 1
        assert abs(change.brightness - 1) <= jitter and abs(change.contrast - 1) <= jitter
