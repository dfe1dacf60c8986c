"""An LMDB of the released layout is read without locks."""

import pytest

from clipbert_mmf.video.errors import AmbiguousNameError, MissingMediaError, StoreError
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_lmdb


def test_an_lmdb_is_found_by_its_folder_and_by_its_file(stores):
    for location in (stores["lmdb"], stores["lmdb"] / "data.mdb"):
        assert open_store(location).read("deep") == b"ten"


def test_two_stores_at_one_lmdb_work_side_by_side(stores):
    first, second = open_store(stores["lmdb"]), open_store(stores["lmdb"])
    assert first.read("deep") == second.read("deep") == b"ten"


def test_an_lmdb_is_opened_read_only_without_a_lock_file(stores):
    (stores["lmdb"] / "lock.mdb").unlink(missing_ok=True)
    open_store(stores["lmdb"]).read("deep")
    assert not (stores["lmdb"] / "lock.mdb").exists()


def test_a_key_longer_than_lmdb_allows_is_simply_missing(stores):
    store = open_store(stores["lmdb"])
    assert "k" * 2000 not in store
    with pytest.raises(MissingMediaError):
        store.read("k" * 2000)


def test_a_broken_lmdb_is_an_error(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a readable LMDB"):
        open_store(tmp_path).keys()


def test_a_file_that_was_replaced_is_opened_anew(tmp_path):
    write_lmdb(tmp_path / "store", {"v": b"old"})
    write_lmdb(tmp_path / "other", {"v": b"new"})
    assert open_store(tmp_path / "store").read("v") == b"old"
    (tmp_path / "other" / "data.mdb").replace(tmp_path / "store" / "data.mdb")
    assert open_store(tmp_path / "store").read("v") == b"new"


def test_keys_of_files_beside_media_and_names_that_are_no_unicode_are_left_out(tmp_path, caplog):
    import lmdb

    keys = [b"red/1.mp4", b"blue/1", b"red/1.jpg", b"red/1.json", b"d.e", b"caf\xe9", "z\u030c.mp4".encode()]
    with (
        lmdb.open(str(tmp_path / "store"), map_size=2**24) as environment,
        environment.begin(write=True) as to,
    ):
        for key in keys:
            to.put(key, key)
    store = open_store(tmp_path / "store", media="video")
    assert store.keys() == ["blue/1", "d.e", "red/1", "\u017e"] and len(store) == 4
    assert "1 names are no UTF-8" in caplog.text and "xe9" in caplog.text
    assert store.read("\u017e.mp4") == "z\u030c.mp4".encode() and store.read("red/1") == b"red/1.mp4"
    with pytest.raises(AmbiguousNameError, match="'blue/1', 'red/1.mp4'"):
        store.read("1")
