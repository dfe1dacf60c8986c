"""Each writer keeps what it was given, and nothing half written has its name."""

import pytest

from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.stores.writers import WRITERS, LmdbWriter


def test_an_lmdb_grows_when_it_is_full(tmp_path):
    with LmdbWriter(tmp_path / "grown", batch_bytes=1) as writer:
        writer._environment.set_mapsize(2**16)
        for number in range(20):
            writer.put(f"v{number}", ".mp4", bytes([number]) * 50_000)
    assert len(open_store(tmp_path / "grown")) == 20
    assert open_store(tmp_path / "grown").read("v7") == b"\x07" * 50_000


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_a_writer_knows_what_is_done_after_it_was_closed(tmp_path, kind):
    with WRITERS[kind](tmp_path / "store") as writer:
        assert writer.done_keys() == set()
        writer.put("one", ".mp4", b"1")
    with WRITERS[kind](tmp_path / "store") as writer:
        assert writer.done_keys() == {"one"}
        writer.put("two", ".gif", b"22")
    store = open_store(tmp_path / "store", kind)
    assert store.keys() == ["one", "two"]
    found = store.read("two")
    assert (found if isinstance(found, bytes) else found.read_bytes()) == b"22"
    assert not list((tmp_path / "store").glob("*.part"))
