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
