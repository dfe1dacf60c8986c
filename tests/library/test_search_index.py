"""The index on disk: new files are encoded alone, damage and another model encode again."""

import os

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.search_index import SearchIndex, hash_model
from clipbert_mmf.video.errors import MediaError
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man with a square", "blue"]


def make_model(folder, tokenizer_dir):
    make_run(folder, tokenizer_dir, head={"type": "match"})
    return ClipBert.from_pretrained(folder)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "deep").mkdir()
    for number, name in enumerate(["a.mp4", "b.mp4", "deep/c.mp4"]):
        write_video(folder / name, 30 + 10 * number, fps=10)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer_dir):
    return make_model(tmp_path_factory.mktemp("match") / "run", tokenizer_dir)


def test_an_index_encodes_new_files_only_and_survives_damage(model, videos, tmp_path, tokenizer_dir):
    files = [videos / "a.mp4", videos / "b.mp4"]
    expected = model.search(TEXTS, files)

    def search(files, model=model):
        index = SearchIndex(tmp_path / "index", model)
        return model.search(TEXTS, files, index=index), index.num_encoded

    assert search(files) == (expected, 2) and search(files) == (expected, 0)
    assert search([*files, videos / "deep/c.mp4"])[1] == 1
    entry = sorted((tmp_path / "index").glob("*.safetensors"))[0]
    entry.write_bytes(entry.read_bytes()[:40])  # as a kill while writing in place would leave it
    (tmp_path / "index" / "files.json").write_text("{")
    assert search([*files, videos / "deep/c.mp4"])[1] == 1
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(files[0].read_bytes())
    assert search([copy])[1] == 0  # the same video under another name
    copy.write_bytes(files[1].read_bytes() + b"x")
    os.utime(copy, ns=(1, 1))
    assert search([copy])[1] == 1
    other = make_model(tmp_path / "run", tokenizer_dir)
    with torch.no_grad():
        other.network.backbone.stem.conv.weight.mul_(1.5)
    assert search(files, other)[1] == 2


def test_an_entry_is_the_encoding_itself_and_a_missing_file_is_an_error(model, videos, tmp_path):
    index = SearchIndex(tmp_path / "deep" / "index", model)
    first, again = index.get(videos / "a.mp4"), index.get(str(videos / "a.mp4"))
    direct = model.encode(videos / "a.mp4")
    assert torch.equal(first.visual, direct.visual) and torch.equal(again.visual, direct.visual)
    assert again.times_sec == direct.times_sec and index.num_encoded == 1
    with pytest.raises(MediaError, match="cannot be read"):
        index.get(videos / "none.mp4")
    (_, encoded, reason), *_ = index.encode_all([videos / "none.mp4"])
    assert encoded is None and "none.mp4" in reason


def test_the_hash_of_a_model_does_not_follow_its_head(model, tmp_path, tokenizer_dir):
    other, before = make_model(tmp_path / "run", tokenizer_dir), hash_model(model)
    with torch.no_grad():
        for parameter in other.network.head.parameters():
            parameter.add_(1.0)
    assert hash_model(other) == before
