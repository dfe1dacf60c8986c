"""Pairs of a text and a video, in any order: the scores of ``ClipBert.score``, each video read once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clipbert_mmf.inference.asking import WrongHeadError
from clipbert_mmf.inference.pairs import PairScorer, split_pair
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.video.errors import MissingMediaError
from tests.encoded_media import write_video
from tests.inference.small_run import load_sharp, make_run

TEXTS = ["a red circle", "blue", "two dogs near a man"]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("pairs") / "run"
    make_run(folder, tokenizer_dir)
    return load_sharp(folder)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [write_video(folder / f"{name}.mp4", 20 + 10 * number) for number, name in enumerate("ab")]


def test_a_number_of_videos_to_keep_is_not_below_0(model):
    with pytest.raises(ValueError, match="keep_videos is -1; expected at least 0"):
        PairScorer(model, keep_videos=-1)


def test_scores_are_those_of_the_model_and_each_video_is_encoded_once(model, videos, monkeypatch):
    expected = [model.score(video, TEXTS).scores for video in videos]
    encoded = []
    monkeypatch.setattr(
        model, "encode", lambda video: encoded.append(Path(video)) or ClipBert.encode(model, video)
    )
    scorer = PairScorer(model)
    pairs = [(text, videos[number % 2]) for text in TEXTS for number in range(2)]
    pairs += [(str(videos[0]), TEXTS[1]), ({"video": videos[1]}, {"text": TEXTS[2]})]
    scores = scorer.score(pairs)
    wanted = [expected[number % 2][row] for row in range(3) for number in range(2)]
    wanted += [expected[0][1], expected[1][2]]
    torch.testing.assert_close(scores, torch.tensor(wanted), rtol=1e-4, atol=1e-5)
    assert encoded == videos, "one encoding each"
    scorer.score(pairs[:1])
    assert encoded == videos, "kept between calls"


def test_a_video_that_was_replaced_is_read_again(model, videos, tmp_path):
    scorer, place = PairScorer(model), tmp_path / "v.mp4"
    place.write_bytes(videos[0].read_bytes())
    first = scorer.score([(TEXTS[0], place)])
    place.write_bytes(videos[1].read_bytes())
    assert torch.equal(scorer.score([(TEXTS[0], place)]), PairScorer(model).score([(TEXTS[0], videos[1])]))
    assert torch.equal(first, PairScorer(model, keep_videos=0).score([(TEXTS[0], videos[0])]))


def test_what_is_text_and_what_is_video_is_known_or_asked(videos, tmp_path, monkeypatch):
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    for video in (videos[0], str(videos[0]), "missing.mp4", "s3://place/x", frames, b"data"):
        for pair in (("a dog", video), (video, "a dog")):
            text, found = split_pair(pair, 0)
            assert text == "a dog" and found is video
    assert split_pair(({"text": "cat.mp4"}, {"video": "a dog"}), 0) == ("cat.mp4", "a dog")
    for pair, message in (
        (("a dog", "a cat"), "pair 3: 'a dog' and 'a cat' are both texts"),
        ((videos[0], "cat.mp4"), "are both videos"),
        (("a dog", 4), "pair 3: int is neither a text nor a video"),
        (("a dog",), "expected a text and a video"),
        (({"text": "a", "video": "b"}, "x.mp4"), r"one side has \['text', 'video'\]"),
        (({"text": 3}, "x.mp4"), "the text is int"),
    ):
        with pytest.raises(ValueError, match=message):
            split_pair(pair, 3)


def test_a_missing_video_an_empty_text_and_a_head_that_cannot_score_are_errors(
    model, videos, tmp_path, tokenizer_dir
):
    with pytest.raises(MissingMediaError, match=r"nowhere\.mp4"):
        PairScorer(model).score([("a dog", Path("nowhere.mp4"))])
    with pytest.raises(ValueError, match="none empty"):
        PairScorer(model).score([(" ", videos[0])])
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "regress"})
    with pytest.raises(WrongHeadError, match="'regress'"):
        PairScorer(ClipBert.from_pretrained(tmp_path / "run"))
