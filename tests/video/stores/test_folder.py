"""Files below a folder are found by their stem."""

import pickle

import pytest

from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import open_store


def test_a_folder_is_listed_once_however_often_it_crosses_processes(folder, monkeypatch):
    store = FolderStore(str(folder))
    store.read("deep")
    copy = pickle.loads(pickle.dumps(store))
    monkeypatch.setattr("os.walk", lambda *args, **kwargs: pytest.fail("listed again"))
    assert copy.read("deep").name == "deep.mkv"


def test_two_files_with_one_stem_are_reported(folder, caplog):
    (folder / "a_first").mkdir()
    (folder / "a_first" / "deep.avi").write_bytes(b"other")
    store = open_store(folder)
    assert store.read("deep").name == "deep.avi"
    assert "1 keys stand for more than one file" in caplog.text


def test_a_folder_that_is_none_is_an_error_at_the_first_read(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        open_store(tmp_path / "gone", "folder").keys()
