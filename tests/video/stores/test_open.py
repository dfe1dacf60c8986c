"""The store at a location is chosen by what is there."""

import pytest

from clipbert_mmf.video.errors import AmbiguousNameError, StoreError
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import detect_store, open_store
from tests.video.stores.conftest import write_tar


@pytest.mark.parametrize(
    ("location", "kind", "message"),
    [
        ("gone", "auto", "nothing is there"),
        ("file.txt", "auto", "no store; expected"),
        ("v.tar.gz", "auto", r"no store \(unpack it first\); expected"),
        ("", "ftp", "store kind is 'ftp'; allowed are auto, "),
    ],
)
def test_a_wrong_location_is_named(tmp_path, location, kind, message):
    for name in ("file.txt", "v.tar.gz"):
        (tmp_path / name).write_text("x")
    with pytest.raises(StoreError, match=message):
        open_store(tmp_path / location, kind)


def test_an_address_of_this_machine_is_a_path(folder):
    assert open_store(folder.resolve().as_uri()).keys() == open_store(folder).keys()


def test_a_leftover_tar_does_not_make_a_folder_a_tar_store(folder):
    write_tar(folder / "download.tar", {"x.mp4": b"1"})
    assert isinstance(open_store(folder), FolderStore)


def test_a_downloaders_folder_is_a_set_of_shards(tmp_path):
    for shard in ("00000", "00001"):
        files = {f"{shard}{n}.{end}": b"x" for n in range(2) for end in ("json", "m4a", "mp4", "txt")}
        write_tar(tmp_path / "v2d" / f"{shard}.tar", files)
        for name in (f"{shard}_stats.json", f"{shard}.parquet"):
            (tmp_path / "v2d" / name).write_bytes(b"x")
    for location in ("v2d", "v2d/*.tar", "v2d/0000[01].tar"):
        assert detect_store(str(tmp_path / location)) == "tar"
        assert open_store(tmp_path / location).keys() == ["000000", "000001", "000010", "000011"]


def test_one_name_in_two_shards_is_two_media(tmp_path):
    for shard in ("a", "b"):
        write_tar(tmp_path / "s" / f"{shard}.tar", {"v.mp4": shard.encode()})
    store = open_store(tmp_path / "s")
    assert store.keys() == ["a/v", "b/v"] and store.read("b/v.mp4") == b"b"
    with pytest.raises(AmbiguousNameError, match=r"'a/v.mp4', 'b/v.mp4'"):
        store.read("v.mp4")


def test_members_whose_names_are_no_unicode_are_told(tmp_path, caplog):
    write_tar(tmp_path / "s.tar", {"good.mp4": b"x", b"caf\xe9.mp4".decode("utf-8", "surrogateescape"): b"y"})
    for _ in range(2):  # from the headers, and from the index
        caplog.clear()
        assert open_store(tmp_path / "s.tar").keys() == ["good"]
        assert "1 names are no UTF-8" in caplog.text and "xe9.mp4" in caplog.text


@pytest.mark.parametrize("kind", ["folder", "lmdb", "tar"])
def test_the_kind_is_found_by_what_is_there(stores, kind):
    assert detect_store(str(stores[kind])) == kind and detect_store("bucket://videos") == "iopath"
