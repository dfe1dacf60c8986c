"""A display matrix turns pictures; without one they stay."""

import av
import numpy as np
import pytest

from clipbert_mmf.video.decode.upright import read_turn, turn_upright
from tests.encoded_media import is_upright


def read_first(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("plain.mp4", (False, False, False)),
        ("turned_180.mp4", (False, True, True)),
        ("turned_90.mp4", (True, False, True)),
        ("turned_270.mov", (True, True, False)),
    ],
)
def test_a_stored_picture_is_made_upright(video_file, name, turn):
    frame = read_first(video_file(name))
    assert read_turn(frame) == turn
    stored = frame.to_ndarray(format="rgb24")
    assert is_upright(turn_upright(stored, turn)) and is_upright(stored) == (name == "plain.mp4")


def test_turns_are_a_transpose_then_mirrors():
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert (turn_upright(picture, (True, False, False)) == picture.transpose(1, 0, 2)).all()
    assert (turn_upright(picture, (False, True, False)) == picture[:, ::-1]).all()
    turned = turn_upright(picture, (False, False, True))
    assert (turned == picture[::-1]).all() and turned.flags.c_contiguous
