"""MMF's processors on a real WordPiece tokenizer and real files."""

import json
import pickle

import numpy as np
import pytest
import torch

from clipbert_mmf.plugin.processors import (
    ClipBertImageProcessor,
    ClipBertTextProcessor,
    ClipBertVideoProcessor,
)
from tests.encoded_media import write_image, write_video


@pytest.fixture()
def processor(tokenizer_dir):
    return ClipBertTextProcessor({"tokenizer": str(tokenizer_dir), "max_length": 8})


def test_texts_are_framed_by_special_tokens_and_padded(processor):
    tokens = processor(["a red circle", "two"])
    assert tokens.input_ids.shape == tokens.input_mask.shape == tokens.segment_ids.shape == (2, 8)
    tokenizer = processor.tokenizer
    assert tokens.input_mask.sum(1).tolist() == [5, 3]
    assert tokens.input_ids[0, 0] == tokenizer.cls_token_id
    assert tokens.input_ids[0, 4] == tokenizer.sep_token_id
    assert (tokens.input_ids[0, 5:] == tokenizer.pad_token_id).all()
    assert tokenizer.decode(tokens.input_ids[0, 1:4]) == "a red circle"
    assert (tokens.segment_ids == 0).all()


def test_a_long_text_is_cut_and_still_ends_with_sep(processor):
    tokens = processor(["a red circle then two green small squares on the left"])
    assert tokens.input_mask.sum() == 8
    assert tokens.input_ids[0, -1] == processor.tokenizer.sep_token_id


def test_only_word_pieces_are_maskable(processor):
    tokens = processor(["a red circle"])
    assert processor.is_maskable(tokens).tolist() == [[False, True, True, True, False, False, False, False]]


def test_it_travels_to_a_worker(processor):
    copy = pickle.loads(pickle.dumps(processor))
    assert torch.equal(copy(["a star"]).input_ids, processor(["a star"]).input_ids)


@pytest.mark.parametrize(
    ("make", "params", "message"),
    [
        (
            ClipBertTextProcessor,
            {"tokenizer": "x", "max_len": 8},
            r"clipbert_text.params.max_len is unknown \(did you mean 'max_length'\?\); allowed are "
            r"cut, max_length, tokenizer",
        ),
        (ClipBertTextProcessor, {}, "clipbert_text.params: tokenizer is empty; give a tokenizer directory"),
        (ClipBertTextProcessor, {"tokenizer": "x", "max_length": 0}, "max_length is 0"),
        (
            ClipBertVideoProcessor,
            {"num_clip": 3},
            r"clipbert_video.params.num_clip is unknown \(did you mean 'num_clips'",
        ),
        (
            ClipBertVideoProcessor,
            {"num_clips": "x"},
            "clipbert_video.params.num_clips is 'x'; expected a whole",
        ),
        (
            ClipBertVideoProcessor,
            {"window_sec": [3, 1]},
            r"window_sec is \[3.0, 1.0\]; expected its start before",
        ),
        (ClipBertVideoProcessor, {"backend": "decor"}, r"backend is 'decor' \(did you mean 'decord'\?\)"),
        (ClipBertVideoProcessor, {"fps": 3, "clip_len_sec": 2.0}, "give fps or clip_len_sec, not both"),
        (ClipBertImageProcessor, {"num_clips": 3}, "clipbert_image.params.num_clips is unknown"),
    ],
)
def test_wrong_params_are_named_in_full(make, params, message):
    with pytest.raises(ValueError, match=message):
        make(params)


def test_a_video_becomes_frames_and_clip_times(tmp_path):
    write_video(tmp_path / "a.mp4")
    processor = ClipBertVideoProcessor({"image_size": 64, "num_clips": 2, "num_frames": 3, "fps": 6})
    result = processor(str(tmp_path), "a", np.random.default_rng(0))
    assert result.frames.shape == processor.frames_shape == (2, 3, 3, 64, 64)
    assert result.clip_times_sec.shape == (2, 2) and result.clip_times_sec.dtype == torch.float32
    assert torch.allclose(result.clip_times_sec[:, 1] - result.clip_times_sec[:, 0], torch.tensor(0.5))
    assert processor.take_served() == {"pyav": 1} and processor.take_served() == {}


def test_an_unreadable_medium_is_a_result_with_its_reason(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    processor = ClipBertVideoProcessor({"image_size": 32, "num_clips": 2})
    result = processor(str(tmp_path), "a", np.random.default_rng(0))
    assert result.frames is None and "the file is empty" in result.failure
    blank = processor.blank
    assert blank.frames.shape == (2, 1, 3, 32, 32) and blank.clip_times_sec.tolist() == [[0.0, 0.0]] * 2


def test_an_image_is_one_clip_of_one_frame_without_times(tmp_path):
    write_image(tmp_path / "a.png")
    processor = ClipBertImageProcessor({"image_size": 32})
    result = processor(str(tmp_path), "a", np.random.default_rng(0))
    assert result.frames.shape == (1, 1, 3, 32, 32) and result.clip_times_sec is None
    assert processor.blank.clip_times_sec is None
    assert processor.count_missing(str(tmp_path), ["a", "b"]) == 1
    assert processor.stamp(str(tmp_path), ["a", "b"])[0].startswith("a.png ")


def test_the_description_of_reading_changes_with_every_option():
    assert ClipBertVideoProcessor(None).describe() != ClipBertVideoProcessor({"num_clips": 2}).describe()
    first, second = ClipBertVideoProcessor(None), ClipBertVideoProcessor({})
    assert json.dumps(first.describe()) == json.dumps(second.describe())


def test_a_directory_without_a_tokenizer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="this directory holds no tokenizer"):
        ClipBertTextProcessor({"tokenizer": str(tmp_path)})
