"""Pictures of a page: thumbnails without padding, bars with a zero line, whole words of word pieces."""

import base64
import io

import pytest
import torch
from PIL import Image

from clipbert_mmf.report.pictures import (
    crop_padding,
    draw_curves,
    join_word_pieces,
    make_thumbnail,
    scale_bars,
)


def test_a_thumbnail_leaves_out_the_padding():
    frame = torch.zeros(3, 40, 40, dtype=torch.uint8)
    frame[:, :20] = 200
    assert crop_padding(frame) == (20, 40) and crop_padding(torch.zeros_like(frame)) == (40, 40)
    for saliency in (None, torch.rand(4, 4)):
        data = base64.b64decode(make_thumbnail(frame, saliency, longest_px=20).partition(",")[2])
        assert Image.open(io.BytesIO(data)).size == (20, 10)


def test_bars_begin_at_zero_and_small_scores_look_small():
    assert scale_bars([-1.0, 2.0, 0.0]) == [-50.0, 100.0, 0.0]
    first, second = scale_bars([1.29, 1.31])  # nearly the same score, nearly the same bar
    assert second == 100.0 and first > 98.0
    assert scale_bars([0.1]) == [10.0] and scale_bars([]) == []


def test_pieces_become_words_against_the_strongest():
    pieces = [("[CLS]", 0.0), ("sky", 1.0), ("##line", 1.0), ("red", -1.0), ("[SEP]", 0.0)]
    assert join_word_pieces(pieces) == [("skyline", 2.0, 1.0), ("red", -1.0, -0.5)]
    assert join_word_pieces([("a", 0.25)]) == [("a", 0.25, 0.25)]


def test_curves_take_their_colours_from_the_page():
    pytest.importorskip("matplotlib")
    svg = draw_curves({"loss": ([1, 2], [0.5, 0.25])}, "loss")
    assert svg.startswith('<svg fill="currentColor"') and "<metadata>" not in svg
