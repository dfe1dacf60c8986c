"""Embeddings of videos and texts: unit vectors, and a list of what could not be read."""

import hashlib
import shutil

import pytest
import torch

from clipbert_mmf.inference.embedding import embed, list_media
from clipbert_mmf.inference.pretrained import ClipBert
from tests.encoded_media import write_video
from tests.inference.small_run import make_run


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("contrastive") / "run"
    make_run(folder, tokenizer_dir, contrastive={"weight": 0.1, "size": 8})
    return ClipBert.from_pretrained(folder)


def test_what_can_be_read_becomes_unit_vectors_and_the_rest_is_listed(model, tmp_path):
    good = write_video(tmp_path / "a.mp4", 30, fps=10)
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    found = embed(model, [good, tmp_path / "b.mp4"], ["a red circle", "blue"])
    assert found.video_files == (str(good),) and list(found.unreadable) == [str(tmp_path / "b.mp4")]
    assert found.video_keys == (str(tmp_path / "a"),)
    assert found.video_hashes == (hashlib.sha256(good.read_bytes()).hexdigest(),)
    assert found.videos.shape == (1, 8) and found.texts.shape == (2, 8)
    for rows in (found.videos, found.texts):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
    assert found.scale == pytest.approx(float(model.network.contrastive.scale.detach()))


def test_an_empty_text_and_a_model_without_the_head_are_refused(model, tmp_path, tokenizer_dir):
    with pytest.raises(ValueError, match="text 2 of 2 is empty"):
        embed(model, [], ["a", " "])
    make_run(tmp_path / "run", tokenizer_dir)
    with pytest.raises(ValueError, match="this model has no contrastive head"):
        embed(ClipBert.from_pretrained(tmp_path / "run"), [], ["a"])


def test_keys_are_paths_in_the_given_folder_and_no_two_files_share_one(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "deep").mkdir(parents=True)
        write_video(folder / "deep" / "a.mp4", 4)
    shutil.copy(first / "deep" / "a.mp4", first / "b.mp4")
    assert list_media([first], "video") == {first / "b.mp4": "b", first / "deep" / "a.mp4": "deep/a"}
    with pytest.raises(ValueError, match="would both be called 'deep/a'; give the folder above both"):
        list_media([first, second], "video")
    lone = [first / "b.mp4", second / "deep" / "a.mp4", first / "b.mp4"]
    assert list(list_media(lone, "video").values()) == [str(first / "b"), str(second / "deep" / "a")]
