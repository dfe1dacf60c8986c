"""Every format holds the same: vectors, what they are of, what could not be read, and the model."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from clipbert_mmf.inference.embedding import Embeddings
from clipbert_mmf.inference.embedding_files import write_embeddings

MADE = Embeddings(
    torch.eye(2),
    torch.ones(1, 2),
    ("a.mp4", "b.mp4"),
    ("a", "b"),
    ("1f", "2f"),
    ("Ü",),
    {"c.mp4": "bad"},
    2.5,
    "f0",
)


def test_numpy_and_safetensors_hold_the_same(tmp_path):
    arrays = np.load(write_embeddings(MADE, tmp_path / "deep" / "e.npz"))
    with safe_open(write_embeddings(MADE, tmp_path / "e.safetensors"), "np") as file:
        for name in ("videos", "texts"):
            np.testing.assert_array_equal(file.get_tensor(name), arrays[name])
        told = file.metadata()
    for name, values in (
        ("video_files", ["a.mp4", "b.mp4"]),
        ("video_keys", ["a", "b"]),
        ("video_sha256", ["1f", "2f"]),
        ("text_strings", ["Ü"]),
        ("unreadable_files", ["c.mp4"]),
        ("unreadable_reasons", ["bad"]),
    ):
        assert arrays[name].tolist() == json.loads(told[name]) == values
    assert str(arrays["model_sha256"]) == told["model_sha256"] == "f0" and float(arrays["scale"]) == 2.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "e.safetensors"]


def test_parquet_has_a_row_for_each_video_text_and_unreadable_video(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write_embeddings(MADE, tmp_path / "e.parquet"))
    assert table.schema.metadata[b"model_sha256"] == b"f0" and table.schema.metadata[b"scale"] == b"2.5"
    empty = dict.fromkeys(["path", "key", "sha256", "text", "error", "embedding"])
    assert table.to_pylist() == [
        {**empty, "kind": "video", "path": "a.mp4", "key": "a", "sha256": "1f", "embedding": [1.0, 0.0]},
        {**empty, "kind": "video", "path": "b.mp4", "key": "b", "sha256": "2f", "embedding": [0.0, 1.0]},
        {**empty, "kind": "text", "text": "Ü", "embedding": [1.0, 1.0]},
        {**empty, "kind": "unreadable", "path": "c.mp4", "error": "bad"},
    ]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in '\.csv'; allowed are \.npz, \.safetensors, \.parquet"):
        write_embeddings(MADE, tmp_path / "e.csv")
