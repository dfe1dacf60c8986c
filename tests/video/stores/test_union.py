"""Several stores are read as one."""

import pytest

from clipbert_mmf.video.errors import AmbiguousNameError, MissingMediaError
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_lmdb
from tests.video.stores.conftest import read_bytes


def test_a_key_is_served_by_the_store_that_has_it(folder, tmp_path):
    other = write_lmdb(tmp_path / "other", {"deep": b"other", "new": b"11"})
    store = open_store([str(folder), str(other)])
    assert read_bytes(store, "z/deep") == b"ten" and store.read("new") == b"11"
    # The whole path of a medium goes before the end of one.
    assert read_bytes(store, "deep") == b"other" and store.resolve("y/z/deep.mp4") == "x/y/z/deep"
    assert store.keys() == sorted({*open_store(folder).keys(), "deep", "new"}) and "new" in store


def test_a_name_in_two_stores_is_an_error_that_names_both(folder, tmp_path):
    other = write_lmdb(tmp_path / "other", {"video7010": b"other"})
    with pytest.raises(
        AmbiguousNameError, match=f"2 stores: 'video7010' in {folder}, 'video7010' in {other}"
    ):
        open_store([str(folder), str(other)]).read("video7010")
    assert read_bytes(open_store([str(folder), str(folder)]), "video7010") == b"seven"


def test_a_missing_key_names_every_store(folder, tmp_path):
    other = write_lmdb(tmp_path / "other", {"new": b"11"})
    with pytest.raises(MissingMediaError, match=f"{folder} . {other}: the store has no such key"):
        open_store([str(folder), str(other)]).read("gone")


def test_the_folder_of_a_store_in_a_name_leads_to_no_other_store(tmp_path):
    for path in ("a/1.mp4", "b/1.mp4", "b/2.mp4", "c/3.mp4"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    store = open_store([str(tmp_path / name) for name in "abc"])
    assert store.resolve("a/2.mp4") is None
    for name in ("2", "2.mp4", "b/2.mp4", str(tmp_path / "b" / "2.mp4"), "b\\2.mp4"):
        assert store.resolve(name) == "2"
    # Where no store is of that folder, the folder does not count.
    assert store.resolve("elsewhere/3.mp4") == "3"
    for name in ("a/1.mp4", "b/1", "1", str(tmp_path / "a" / "1.mp4")):
        with pytest.raises(AmbiguousNameError, match="give the stores other folders or names"):
            store.resolve(name)
