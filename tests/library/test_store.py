"""The store of an index: what LanceDB raises becomes one line, other versions and tables are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clipbert_mmf.library.building import arrange_vectors
from clipbert_mmf.library.rows import Row, RowFacts
from clipbert_mmf.library.store import (
    LibraryError,
    LibrarySettings,
    ModelIdentity,
    create_library_store,
    explain,
    open_library_store,
)

SETTINGS = LibrarySettings(ModelIdentity("0" * 16, "model"), "videos", "video", 4)


def test_a_full_disk_says_what_is_free_and_that_what_was_committed_is_whole(tmp_path):
    with pytest.raises(LibraryError) as error, explain(str(tmp_path / "index"), "written"):
        raise RuntimeError(
            "lance error: LanceError(IO): Generic LocalFileSystem error:\n No space left on device (os error 28)"
        )
    text = str(error.value)
    assert "the disk is full" in text and "MB are free" in text and "run the same command again" in text
    assert "\n" not in text
    with pytest.raises(LibraryError, match="could not be read: a reason in two lines"), explain("x", "read"):
        raise OSError("a reason\nin two lines")


def test_an_index_of_another_version_or_of_others_is_refused(tmp_path):
    lancedb = pytest.importorskip("lancedb")
    import pyarrow as pa

    create_library_store(tmp_path / "index", SETTINGS)
    assert open_library_store(tmp_path / "index").settings == SETTINGS
    content = {"clipbert_mmf": json.dumps({"version": 1})}
    for name, schema, message in [
        (
            "old",
            pa.schema([("path", pa.string())], metadata=content),
            "is of version 1, and this package writes",
        ),
        ("other", pa.schema([("path", pa.string())]), "holds no index of this package"),
    ]:
        lancedb.connect(str(tmp_path / name)).create_table("media", schema=schema)
        with pytest.raises(LibraryError, match=message):
            open_library_store(tmp_path / name)


def fill(folder, num_rows, size=16):
    """Return an index of random rows around some centres."""
    store = create_library_store(folder, replace(SETTINGS, embedding_size=size))
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((8, size))[rng.integers(8, size=num_rows)]
    vectors = (vectors + 0.3 * rng.standard_normal(vectors.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.append([Row(RowFacts(f"{number}.mp4", "video"), vector) for number, vector in enumerate(vectors)])
    return store, vectors


@pytest.mark.parametrize("kind", ["graph", "codes"])
def test_an_approximate_search_says_how_much_it_finds_and_keeps_it(tmp_path, monkeypatch, kind):
    pytest.importorskip("lancedb")
    monkeypatch.setattr("clipbert_mmf.library.store._ROWS_PER_CODE_PARTITION", 100)
    monkeypatch.setattr("clipbert_mmf.library.building.VECTOR_ROWS", 100)
    store, vectors = fill(tmp_path / "index", 2000)
    told = []
    nearest = "approximate" if kind == "codes" else kind
    arrange_vectors(store, nearest, True, told.append)
    index = open_library_store(tmp_path / "index").vector_index
    assert index == store.vector_index and index.kind == kind and index.width > 0
    assert len(told) == 1 and told[0].startswith(f"{kind} search of 2000 embeddings: ")
    assert "of the 100 nearest rows are found, in" in told[0]
    exact = {number for number, _ in store.find_nearest(vectors[7], 100)}
    found = {number for number, _ in store.find_nearest(vectors[7], 100, index=index)}
    assert len(exact & found) >= 90
    # A filter that leaves few rows, and more rows than a graph gives, are searched for exactly.
    few = "path IN ('7.mp4', '1999.mp4')"
    assert len(store.find_nearest(vectors[7], 5, few, index)) == 2
    monkeypatch.setattr("clipbert_mmf.library.store._MOST_APPROXIMATE", 1000)
    assert len(store.find_nearest(vectors[7], 2000, index=index)) == 2000
    for has_joined in (False, True):
        arrange_vectors(store, nearest, has_joined, told.append)
    assert len(told) == 1
    arrange_vectors(store, "exact", False, told.append)
    assert store.vector_index.kind == "exact" and told[1].startswith(
        "exact search of 2000 embeddings: 100.0%"
    )
    assert exact == {number for number, _ in store.find_nearest(vectors[7], 100, index=store.vector_index)}


def test_of_rows_that_are_equal_any_may_be_found(tmp_path):
    pytest.importorskip("lancedb")
    store, vectors = fill(tmp_path / "index", 300)
    store.append([Row(RowFacts(f"copy_{number}.mp4", "video"), vectors[0]) for number in range(500)])
    assert store.build_vector_index().recall == 1


def test_auto_takes_codes_above_what_memory_may_grow_by_where_they_find_enough(tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setattr("clipbert_mmf.library.building.VECTOR_ROWS", 100)
    store, vectors = fill(tmp_path / "index", 1000)
    told = []
    arrange_vectors(store, "auto", True, told.append)
    assert store.vector_index.kind == "exact"
    monkeypatch.setattr("clipbert_mmf.library.building.EXACT_BYTES", 1000)
    monkeypatch.setattr("clipbert_mmf.library.building.GOOD_RECALL", 1.01)
    arrange_vectors(store, "auto", True, told.append)
    assert [line.split(" ")[0] for line in told] == ["exact", "codes", "that"]
    assert store.vector_index.kind == "exact"
    arrange_vectors(store, "auto", True, told.append)
    assert len(told) == 3  # tried again when there are twice as many
    monkeypatch.setattr("clipbert_mmf.library.building.GOOD_RECALL", 0.5)
    store.append([Row(RowFacts(f"more_{number}.mp4", "video"), one) for number, one in enumerate(vectors)])
    arrange_vectors(store, "auto", False, told.append)
    assert store.vector_index.kind == "codes" and len(told) == 4
    store.remove([f"{number}.mp4" for number in range(1000)])
    store.remove([f"more_{number}.mp4" for number in range(950)])
    arrange_vectors(store, "auto", True, told.append)
    assert store.vector_index is None and len(store) == 50
