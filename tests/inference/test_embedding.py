"""Embeddings of videos and texts: unit vectors, a list of what could not be read, and their file."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from clipbert_mmf.inference.embedding import Embeddings, embed, write_embeddings
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


def test_both_kinds_of_files_hold_the_same(tmp_path):
    made = Embeddings(torch.eye(2), torch.ones(1, 2), ("a.mp4", "b.mp4"), ("Ü",), {}, 2.5)
    arrays = np.load(write_embeddings(made, tmp_path / "deep" / "e.npz"))
    assert arrays["video_files"].tolist() == ["a.mp4", "b.mp4"] and float(arrays["scale"]) == 2.5
    with safe_open(write_embeddings(made, tmp_path / "e.safetensors"), "np") as file:
        np.testing.assert_array_equal(file.get_tensor("videos"), arrays["videos"])
        assert json.loads(file.metadata()["text_strings"]) == ["Ü"]
    with pytest.raises(ValueError, match=r"ends in '\.csv'; allowed are \.npz, \.safetensors"):
        write_embeddings(made, tmp_path / "e.csv")
