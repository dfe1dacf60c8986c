"""The store of an index: what LanceDB raises becomes one line, other versions and tables are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clipbert_mmf.library.building import arrange_vectors
from clipbert_mmf.library.rows import Row, RowFacts
from clipbert_mmf.library.store import (
    GOOD_RECALL,
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


def test_an_approximate_search_says_how_much_it_finds_and_keeps_it(tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setattr("clipbert_mmf.library.building.APPROXIMATE_ROWS", 500)
    monkeypatch.setattr("clipbert_mmf.library.store._ROWS_PER_CODE_PARTITION", 100)
    monkeypatch.setattr("clipbert_mmf.library.building.VECTOR_ROWS", 100)
    store, vectors = fill(tmp_path / "index", 2000)
    told = []
    arrange_vectors(store, "approximate", True, told.append)
    index = open_library_store(tmp_path / "index").vector_index
    assert index == store.vector_index and not index.is_exact and 0 < index.num_probes < 20
    assert len(told) == 1 and "of the 100 nearest rows are found, in" in told[0]
    report = store.measure(index)
    assert report.recall >= GOOD_RECALL and f"{report.recall:.1%}" in told[0]
    # Similarities are of the embeddings themselves, not of their codes.
    for number, similarity in store.find_nearest(vectors[7], 5, "path != '7.mp4'", index):
        (row,) = store.read_numbered([number])
        assert row.facts.path != "7.mp4" and float(row.embedding @ vectors[7]) == pytest.approx(
            similarity, abs=1e-5
        )
    arrange_vectors(store, "approximate", False, told.append)
    assert len(told) == 1
    arrange_vectors(store, "exact", False, told.append)
    assert store.vector_index.is_exact and told[1].startswith("exact search of 2000 embeddings")
    exact = {number for number, _ in store.find_nearest(vectors[7], 100)}
    assert exact == {number for number, _ in store.find_nearest(vectors[7], 100, index=store.vector_index)}


def test_auto_measures_both_and_says_which_stays(tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setattr("clipbert_mmf.library.building.APPROXIMATE_ROWS", 500)
    monkeypatch.setattr("clipbert_mmf.library.building.VECTOR_ROWS", 100)
    monkeypatch.setattr("clipbert_mmf.library.building.GOOD_RECALL", 1.01)
    store, _ = fill(tmp_path / "index", 1000)
    told = []
    arrange_vectors(store, "auto", True, told.append)
    assert [line.split(" ")[0] for line in told] == ["exact", "approximate", "the"]
    assert store.vector_index.is_exact
    arrange_vectors(store, "auto", True, told.append)
    assert len(told) == 3  # tried again when there are twice as many
