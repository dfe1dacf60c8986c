"""Every store gives the same bytes under the same keys, in every process."""

import multiprocessing
import pickle
import unicodedata

import pytest

from clipbert_mmf.video.errors import MissingMediaError, StoreError
from clipbert_mmf.video.stores.open import open_store
from tests.video.stores.conftest import CONTENT, KINDS, read_bytes, write_tar


@pytest.mark.parametrize("kind", KINDS)
class TestEveryStore:
    def test_gives_the_bytes_of_each_key(self, stores, kind):
        store = open_store(str(stores[kind]), kind)
        assert {key: read_bytes(store, key) for key in store.keys()} == CONTENT  # noqa: SIM118, a method of the store

    def test_lists_its_keys_in_order(self, stores, kind):
        store = open_store(stores[kind], kind)
        assert store.keys() == sorted(CONTENT) and len(store) == 4

    def test_knows_what_it_holds(self, stores, kind):
        store = open_store(stores[kind], kind)
        assert "x/y/z/deep" in store and "x/žluť" in store
        assert "y/deep" not in store and "" not in store and None not in store

    def test_one_rule_says_which_names_lead_to_a_medium(self, stores, kind):
        store = open_store(stores[kind], kind)
        for name in (
            "x/y/z/deep",
            "x/y/z/deep.avi",
            "deep",
            "deep.mp4",
            "z/deep.MKV",
            "x\\y\\z\\deep.mp4",
            "./x/y/z/deep",
        ):
            assert store.resolve(name) == "x/y/z/deep" and read_bytes(store, name) == b"ten"
        decomposed = unicodedata.normalize("NFD", "x/žluť.mp4")
        assert decomposed != "x/žluť.mp4" and store.resolve(decomposed) == "x/žluť"
        assert store.resolve(f"data/{stores[kind].name}/video7010.mp4") == "video7010"
        for name in ("y/deep.mp4", "red/video7010.mp4", "eep", "gone", "", "deep.txt"):
            assert store.resolve(name) is None

    def test_a_missing_key_is_named_with_the_store(self, stores, kind):
        with pytest.raises(MissingMediaError, match="'gone' in .*: the store has no such key"):
            open_store(stores[kind], kind).read("gone")

    def test_survives_pickling_and_opens_anew(self, stores, kind):
        store = open_store(stores[kind], kind)
        read_bytes(store, "x/y/z/deep")
        copy = pickle.loads(pickle.dumps(store))
        assert copy._handle is None and read_bytes(copy, "x/y/z/deep") == b"ten"
        assert read_bytes(store, "x/y/z/deep") == b"ten"

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_is_read_in_other_processes_at_once(self, stores, kind, start):
        store = open_store(stores[kind], kind)
        read_bytes(store, "x/y/z/deep")
        with multiprocessing.get_context(start).Pool(2) as pool:
            assert pool.map(Reader(store), list(CONTENT) * 5) == list(CONTENT.values()) * 5
        assert read_bytes(store, "x/y/z/deep") == b"ten"

    def test_opens_nothing_before_the_first_read(self, stores, kind):
        assert open_store(stores[kind], kind)._handle is None


class Reader:
    """Picklable, as a dataset in a worker is."""

    def __init__(self, store):
        self.store = store

    def __call__(self, key):
        return read_bytes(self.store, key)


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("12@N00_1_2.m.mp4", b"x", "12@N00_1_2.m"),
        ("bare.", b"\0\0\0\x18ftypmp42", "bare"),
        ("no_dot", b"\x1a\x45\xdf\xa3", "no_dot"),
        ("README", b"read me", None),
        ("v.description", b"words", None),
        ("v.m4a", b"\0\0\0\x1cftypM4A ", None),
    ],
)
def test_the_ending_decides_what_is_a_medium_and_is_no_part_of_its_key(tmp_path, name, content, key):
    (tmp_path / name).write_bytes(content)
    assert open_store(tmp_path).keys() == ([key] if key else [])
    write_tar(tmp_path / "s.tar", {f"a/{name}": content})
    assert open_store(tmp_path / "s.tar").keys() == ([f"a/{key}"] if key else [])


def test_whatever_a_library_throws_is_a_store_error_with_the_name(stores, monkeypatch):
    store = open_store(stores["folder"])
    monkeypatch.setattr(type(store), "_find", lambda store, handle, key: {}[key])
    for read in (store.read, store.stamp):
        with pytest.raises(StoreError, match="'deep' in .*cannot be read: KeyError"):
            read("deep")
