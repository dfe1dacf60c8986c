"""Scores on disk: what a killed evaluation leaves, what is damaged, and what belongs to other weights or texts."""

import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from clipbert_mmf.retrieval.score_store import ScoreStore, hash_network
from tests.models.test_network import make_network
from tests.retrieval.small_matrix import TEXTS, VIDEOS, compute


def test_a_killed_evaluation_goes_on_from_whole_entries(small, tmp_path, caplog):
    expected = compute(small)
    store = ScoreStore(tmp_path, {"model": hash_network(small[0])})
    store.open()

    class KilledError(Exception):
        pass

    def keep(video, texts, scores):
        if len(list(store.place.glob("*.safetensors"))) == 3:
            raise KilledError
        store.write(video, texts, scores)

    with pytest.raises(KilledError):
        compute(small, keep=keep)
    entries = sorted(store.place.glob("*.safetensors"))
    entries[0].write_bytes(entries[0].read_bytes()[:50])  # as a full disk leaves it
    (store.place / "video000004-0.safetensors.1.part").write_bytes(b"half")
    matrix = torch.full_like(expected, torch.nan)
    for video, texts, scores in store.read(VIDEOS, TEXTS):
        matrix[video, texts] = scores
    known = ~matrix.isnan().any(-1)
    assert known.any(1).sum() == 2 and "is damaged; its pairs are computed again" in caplog.text
    rest = compute(small, known, keep=store.write)
    matrix = torch.where(known[..., None], matrix, rest)
    assert torch.equal(matrix, expected)
    found = {video: (texts, scores) for video, texts, scores in store.read(VIDEOS, TEXTS)}
    assert sorted(found) == list(range(VIDEOS))


@pytest.mark.parametrize(
    "damage",
    [
        "another's name",
        "another store's",
        "changed scores",
        "one column",
        "nan",
        "another type",
        "a video too many",
        "a text too many",
        "no number",
        "no metadata",
        "a pipe",
    ],
)
def test_only_entries_as_they_were_written_are_believed(tmp_path, caplog, damage):
    texts, scores = torch.arange(3), torch.rand(3, 2)
    store = ScoreStore(tmp_path, {"model": "a"})
    store.open()
    store.write(0, texts, scores)
    (entry,) = store.place.glob("*.safetensors")
    other = ScoreStore(tmp_path, {"model": "b"})
    other.open()
    other.write(0, texts, scores + 1)
    with safe_open(str(entry), framework="pt") as file:
        metadata = file.metadata()
    assert len(list(store.read(2, 3))) == 1
    if damage == "another's name":
        entry.rename(entry.with_name(entry.name.replace("video000000", "video000001")))
    elif damage == "another store's":
        entry.write_bytes((other.place / entry.name).read_bytes())
    elif damage == "changed scores":
        save_file({"texts": texts, "scores": scores * 2}, entry, metadata)
    elif damage == "one column":
        store.write(0, texts, scores[:, :1])
    elif damage == "nan":
        store.write(0, texts, scores * torch.nan)
    elif damage == "another type":
        store.write(0, texts, scores.double())
    elif damage == "a video too many":
        entry.unlink()
        store.write(2, texts, scores)
    elif damage == "a text too many":
        entry.unlink()
        store.write(0, texts + 1, scores)
    elif damage == "no number":
        save_file({"texts": texts, "scores": scores}, entry, {"entry": '{"video": "x", "checksum": 1}'})
    elif damage == "no metadata":
        save_file({"texts": texts, "scores": scores}, entry)
    else:
        entry.unlink()
        os.mkfifo(entry)
    assert list(store.read(2, 3)) == []
    assert "is damaged; its pairs are computed again" in caplog.text


def test_scores_of_anything_else_are_not_used_and_it_is_said_of_what(tmp_path, caplog):
    caplog.set_level("INFO")
    network = make_network()
    first = ScoreStore(tmp_path, {"model": hash_network(network), "texts": "a", "sampling": "s"})
    first.open()
    first.write(0, torch.arange(2), torch.zeros(2, 2))
    with torch.no_grad():
        network.head.output.bias[0] += 1
    second = ScoreStore(tmp_path, {"model": hash_network(network), "texts": "b", "sampling": "s"})
    second.open()
    assert list(second.read(1, 2)) == [] and len(list(first.read(1, 2))) == 1
    assert f"{first.place} is not used: scores of another model, texts" in caplog.text


def test_the_hash_of_a_network_tells_how_clips_are_joined():
    assert (
        len(
            {
                hash_network(make_network(fold=fold, clip_fusion=fusion))
                for fold in ("lse", "mean")
                for fusion in ("fold", "concat")
            }
        )
        == 4
    )
    assert hash_network(make_network()) == hash_network(make_network())
