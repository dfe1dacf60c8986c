"""The store at a location is chosen by what is there."""

import pytest

from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import detect_store, open_store
from tests.video.stores.conftest import write_tar


@pytest.mark.parametrize(
    ("location", "kind", "message"),
    [
        ("gone", "auto", "nothing is there"),
        ("file.txt", "auto", "no store"),
        ("", "ftp", "store kind is 'ftp'; allowed are auto, "),
    ],
)
def test_a_wrong_location_is_named(tmp_path, location, kind, message):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(StoreError, match=message):
        open_store(tmp_path / location, kind)


def test_a_leftover_tar_does_not_make_a_folder_a_tar_store(folder):
    write_tar(folder / "download.tar", {"x.mp4": b"1"})
    assert isinstance(open_store(folder), FolderStore)


@pytest.mark.parametrize("kind", ["folder", "lmdb", "tar"])
def test_the_kind_is_found_by_what_is_there(stores, kind):
    assert detect_store(str(stores[kind])) == kind and detect_store("bucket://videos") == "iopath"
