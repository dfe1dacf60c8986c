"""Every store gives the same bytes under the same keys, in every process."""

import multiprocessing
import pickle

import pytest

from clipbert_mmf.video.errors import MissingMediaError
from clipbert_mmf.video.stores.open import open_store
from tests.video.stores.conftest import CONTENT, KINDS, read_bytes


@pytest.mark.parametrize("kind", KINDS)
class TestEveryStore:
    def test_gives_the_bytes_of_each_key(self, stores, kind):
        store = open_store(str(stores[kind]), kind)
        assert {key: read_bytes(store, key) for key in store.keys()}  # noqa: SIM118, a method of the store == CONTENT

    def test_lists_its_keys_in_order(self, stores, kind):
        store = open_store(stores[kind], kind)
        assert store.keys() == sorted(CONTENT) and len(store) == 4

    def test_knows_what_it_holds(self, stores, kind):
        store = open_store(stores[kind], kind)
        assert "deep" in store and "žluť" in store
        assert "deep.mkv" not in store and "" not in store and None not in store

    def test_a_missing_key_is_named_with_the_store(self, stores, kind):
        with pytest.raises(MissingMediaError, match="'gone' in .*: the store has no such key"):
            open_store(stores[kind], kind).read("gone")

    def test_survives_pickling_and_opens_anew(self, stores, kind):
        store = open_store(stores[kind], kind)
        read_bytes(store, "deep")
        copy = pickle.loads(pickle.dumps(store))
        assert copy._handle is None and read_bytes(copy, "deep") == b"ten"
        assert read_bytes(store, "deep") == b"ten"

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_is_read_in_other_processes_at_once(self, stores, kind, start):
        store = open_store(stores[kind], kind)
        read_bytes(store, "deep")
        with multiprocessing.get_context(start).Pool(2) as pool:
            assert pool.map(Reader(store), list(CONTENT) * 5) == list(CONTENT.values()) * 5
        assert read_bytes(store, "deep") == b"ten"

    def test_opens_nothing_before_the_first_read(self, stores, kind):
        assert open_store(stores[kind], kind)._handle is None


class Reader:
    """Picklable, as a dataset in a worker is."""

    def __init__(self, store):
        self.store = store

    def __call__(self, key):
        return read_bytes(self.store, key)


@pytest.mark.parametrize(
    ("name", "key"), [("12@N00_1_2.m.mp4", "12@N00_1_2.m"), ("bare.", "bare"), ("no_dot", "no_dot")]
)
def test_the_key_is_the_name_without_its_last_extension(tmp_path, name, key):
    (tmp_path / name).write_bytes(b"x")
    assert open_store(tmp_path).keys() == [key]
