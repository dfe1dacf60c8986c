"""Resize and pad: the spec's size rule, the float rule to half a grey level, zeros to the right and below."""

import pytest
import torch
from torch.nn import functional as F

from clipbert_mmf.transforms.frames import fit_inside, resize_and_pad


def make_frame(height: int, width: int, *lead: int) -> torch.Tensor:
    """Neighbouring pixels differ by anything from 0 to 255: rounding errors cannot hide."""
    count = torch.arange(3 * height * width * max(1, int(torch.tensor(lead).prod()) if lead else 1))
    return (count * 7919 % 256).to(torch.uint8).reshape(*lead, 3, height, width)


def resize_by_the_rule(frame: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return F.interpolate(frame[None].double(), size=(height, width), mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (240, 320, 448, (336, 448)),
        (320, 240, 448, (448, 336)),
        (360, 640, 448, (252, 448)),
        (256, 340, 448, (337, 448)),
        (100, 100, 64, (64, 64)),
        (1, 1, 8, (8, 8)),
        (2, 1000, 64, (1, 64)),
        (1000, 2, 64, (64, 1)),
    ],
)
def test_longer_side_becomes_the_image_size_and_the_shorter_is_cut_to_a_whole_pixel(
    height, width, size, expected
):
    assert fit_inside(height, width, size) == expected


SIZES = [
    (48, 64, 96),
    (64, 48, 96),
    (48, 64, 40),
    (240, 426, 64),
    (37, 53, 61),
    (5, 3, 17),
    (90, 2, 30),
    (64, 64, 64),
    (1, 1, 5),
]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_result_is_the_float_rule_to_half_a_grey_level(height, width, size, channels_last):
    frame = make_frame(height, width)
    if channels_last:
        frame = frame.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    result = resize_and_pad(frame, size)
    rows, columns = fit_inside(height, width, size)
    expected = resize_by_the_rule(frame, rows, columns)
    assert result.shape == (3, size, size) and result.dtype == torch.uint8 and result.is_contiguous()
    assert (result[:, :rows, :columns] - expected).abs().max() <= 0.5 + 2e-3
    assert not result[:, rows:].any() and not result[:, :, columns:].any()


def test_a_frame_of_the_right_size_is_only_padded():
    frame = make_frame(20, 32)
    result = resize_and_pad(frame, 32)
    assert torch.equal(result[:, :20], frame) and not result[:, 20:].any()


def test_leading_dimensions_are_kept_and_frames_do_not_mix():
    frames = make_frame(12, 20, 2, 3)
    result = resize_and_pad(frames, 16)
    assert result.shape == (2, 3, 3, 16, 16)
    assert all(
        torch.equal(result[i, j], resize_and_pad(frames[i, j], 16)) for i in range(2) for j in range(3)
    )


def test_the_input_is_not_changed():
    frame = make_frame(12, 20)
    before = frame.clone()
    resize_and_pad(frame, 16)
    assert torch.equal(frame, before)


def test_an_even_picture_stays_even():
    assert (resize_and_pad(torch.full((3, 30, 40), 200, dtype=torch.uint8), 64)[:, :48] == 200).all()


@pytest.mark.parametrize(
    ("frame", "size", "message"),
    [
        (torch.zeros(3, 4, 4), 8, r"expected \(..., 3, H, W\) uint8"),
        (torch.zeros(4, 4, dtype=torch.uint8), 8, "uint8"),
        (torch.zeros(3, 0, 4, dtype=torch.uint8), 8, "not empty"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), 0, "image_size is 0"),
    ],
)
def test_a_wrong_argument_is_named(frame, size, message):
    with pytest.raises(ValueError, match=message):
        resize_and_pad(frame, size)
