"""Tar shards are read at random through their index."""

import tarfile

import pytest

from clipbert_mmf.video.errors import StoreError, TruncatedMediaError
from clipbert_mmf.video.stores.open import open_store
from tests.video.stores.conftest import write_tar


def test_the_index_of_a_shard_is_kept_and_made_anew_when_the_shard_changes(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1"})
    assert open_store(shard).keys() == ["one"]
    assert (tmp_path / "s" / "a.tar.index").is_file()
    write_tar(shard, {"one.mp4": b"first", "two.mp4": b"second"})
    store = open_store(tmp_path / "s")
    assert store.keys() == ["one", "two"] and store.read("two") == b"second"


def test_a_broken_index_is_made_anew(tmp_path, caplog):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1"})
    (tmp_path / "s" / "a.tar.index").write_text("{half")
    assert open_store(shard).read("one") == b"1"
    assert "is broken; made anew" in caplog.text


def test_a_compressed_tar_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("one.mp4"))
    with pytest.raises(StoreError, match="compressed ones cannot be read at random"):
        open_store(path).keys()


def test_a_shard_cut_short_names_itself(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1" * 5000})
    store = open_store(shard)
    store.keys()
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(TruncatedMediaError, match="a.tar ends before its index"):
        store.read("one")


def test_a_pattern_chooses_shards(stores):
    assert len(open_store(stores["tar"] / "part-*.tar")) == 4
    assert open_store(stores["tar"] / "part-001.tar").keys() == ["deep", "žluť"]
