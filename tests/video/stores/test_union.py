"""Several stores are read as one."""

import pytest

from clipbert_mmf.video.errors import MissingMediaError
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_lmdb
from tests.video.stores.conftest import read_bytes


def test_the_first_store_that_has_a_key_serves_it(folder, tmp_path):
    other = write_lmdb(tmp_path / "other", {"deep": b"other", "new": b"11"})
    store = open_store([str(folder), str(other)])
    assert read_bytes(store, "deep") == b"ten" and store.read("new") == b"11"
    assert store.keys() == sorted({*open_store(folder).keys(), "new"}) and "new" in store


def test_a_missing_key_names_every_store(folder, tmp_path):
    other = write_lmdb(tmp_path / "other", {"new": b"11"})
    with pytest.raises(MissingMediaError, match=f"{folder} . {other}: the store has no such key"):
        open_store([str(folder), str(other)]).read("gone")
