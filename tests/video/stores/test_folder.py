"""Files below a folder are found by their path."""

import os
import pickle
import unicodedata

import pytest

from clipbert_mmf.video.errors import AmbiguousNameError, StoreError
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import open_store


def test_a_folder_is_listed_once_however_often_it_crosses_processes(folder, monkeypatch):
    store = FolderStore(str(folder))
    store.read("deep")
    copy = pickle.loads(pickle.dumps(store))
    monkeypatch.setattr("os.scandir", lambda *args, **kwargs: pytest.fail("listed again"))
    assert copy.read("deep").name == "deep.mkv"


def test_equal_names_in_two_folders_are_two_media(folder):
    (folder / "a_first").mkdir()
    (folder / "a_first" / "deep.avi").write_bytes(b"other")
    store = open_store(folder)
    assert len(store) == 5 and store.read("a_first/deep").read_bytes() == b"other"
    assert store.read("z/deep").read_bytes() == b"ten"
    with pytest.raises(
        AmbiguousNameError, match=r"2 files: 'a_first/deep.avi', 'x/y/z/deep.mkv'; write the path"
    ):
        store.read("deep")
    assert store.resolve("deep.mkv") == "x/y/z/deep"


def test_a_name_with_its_ending_chooses_between_files_of_one_stem(tmp_path):
    for name in ("v.avi", "v.mp4", "w.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    store = open_store(tmp_path)
    assert store.keys() == ["v.avi", "v.mp4", "w"] and store.read("v.avi").read_bytes() == b"v.avi"
    for name in ("v", "v.mov"):
        with pytest.raises(AmbiguousNameError, match=r"'v.avi', 'v.mp4'"):
            store.read(name)
    assert store.resolve(str(tmp_path / "v.mp4")) == "v.mp4" and store.resolve("w.avi") == "w"


def test_a_path_outside_the_folder_is_not_taken_for_a_file_of_its_name(tmp_path):
    for folder in ("videos", "other", "gone"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "v.mp4").write_bytes(folder.encode())
    (tmp_path / "link").symlink_to(tmp_path / "videos")
    (tmp_path / "gone" / "v.mp4").unlink()
    store = open_store(tmp_path / "videos")
    assert store.resolve(str(tmp_path / "other" / "v.mp4")) is None
    for folder in ("videos", "link", "gone"):  # the last: the videos were moved, and the table was not
        assert store.resolve(str(tmp_path / folder / "v.mp4")) == "v"


def test_files_beside_a_video_are_no_media(tmp_path):
    for ending in (
        "mp4",
        "jpg",
        "vtt",
        "en.srt",
        "description",
        "info.json",
        "txt",
        "m4a",
        "json",
        "webp",
        "wav",
    ):
        (tmp_path / f"v.{ending}").write_bytes(b"x")
    (tmp_path / "cover.jpg").write_bytes(b"x")
    for media in (None, "video"):
        store = open_store(tmp_path, media=media)
        assert store.keys() == ["v"] and store.read("v").name == "v.mp4"
    assert open_store(tmp_path, media="image").keys() == ["cover", "v.jpg", "v.webp"]


@pytest.mark.parametrize(
    "ending",
    [
        "mts",
        "m2ts",
        "vob",
        "ogv",
        "asf",
        "f4v",
        "3g2",
        "mxf",
        "m2v",
        "qt",
        "insv",
        "divx",
        "rm",
        "rmvb",
        "dv",
        "y4m",
        "MP4",
        "TS",
        "GIF",
    ],
)
def test_any_container_is_found(tmp_path, ending):
    (tmp_path / f"v.{ending}").write_bytes(b"x")
    assert open_store(tmp_path).keys() == ["v"] and open_store(tmp_path, media="video").read(f"v.{ending}")


def test_links_to_folders_are_followed_once_and_loops_end(tmp_path):
    root, outside = tmp_path / "a" / "videos", tmp_path / "b"
    for path in (root / "red" / "1.mp4", outside / "2.mp4", tmp_path / "a" / "3.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    (root / "all").symlink_to(root / "red")
    (root / "linked").symlink_to(outside)
    (root / "again").symlink_to(outside)
    (root / "red" / "loop").symlink_to(root)
    (root / "up").symlink_to(tmp_path / "a")
    (outside / "self").symlink_to(outside)
    (root / "one.mp4").symlink_to(root / "red" / "1.mp4")
    (root / "gone.mp4").symlink_to(root / "nothing")
    store = open_store(root)
    assert store.keys() == ["again/2", "gone", "one", "red/1"]
    # What a table writes through a link leads to the same medium.
    whole = str(root / "all" / "1.mp4")
    forms = (whole, whole.replace("videos", "videos//."), "all\\1.mp4", "videos/all/1.mp4", "./all//1.mp4")
    for name in ("all/1.mp4", "all/1", "red/loop/red/1.mp4", "1", *forms):
        assert store.resolve(name) == "red/1"
    assert (
        store.resolve("linked/2") == store.resolve("again/self/2.mp4") == "again/2"
        and store.resolve("linked/1") is None
    )


def test_names_that_are_no_unicode_are_told_and_left_out(tmp_path, caplog):
    for name in (b"caf\xe9.mp4", b"good.mp4"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    assert open_store(tmp_path).keys() == ["good"]
    assert "1 names are no UTF-8 and are left out" in caplog.text and r"caf\xe9.mp4" in caplog.text


def test_names_in_both_forms_of_unicode_are_equal(tmp_path):
    name = unicodedata.normalize("NFD", "žluť.mp4")
    (tmp_path / name).write_bytes(b"x")
    store = open_store(tmp_path)
    assert store.keys() == ["žluť"] and store.read(name) == store.read("žluť") == tmp_path / name


def test_a_folder_that_is_none_is_an_error_at_the_first_read(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        open_store(tmp_path / "gone", "folder").keys()
