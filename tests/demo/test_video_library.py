"""Videos are found by id and never by path; uploads are tried, kept and removed."""

import io

import pytest

from clipbert_mmf.demo.jobs import Job
from clipbert_mmf.demo.video_library import MAX_UPLOADS, UnknownVideoError, UploadError, VideoLibrary
from clipbert_mmf.video.errors import MediaError
from tests.demo.small_page import MAX_UPLOAD_BYTES, find_id, make_model, make_session, write_folder
from tests.encoded_media import write_video

pytest.importorskip("captum", reason="captum is not installed: pip install flask waitress captum")
VALUES = {"texts": "a red circle\n\n two dogs "}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("demo"))


@pytest.fixture()
def session(videos, tmp_path, tokenizer_dir):
    session = make_session(make_model(tmp_path / "run", tokenizer_dir, "match"), videos, tmp_path / "index")
    yield session
    session.library.close()


def test_the_library_lists_the_folder_alone_and_knows_no_path(session, tmp_path):
    library = session.library
    assert [video.name for video in library.list_folder()] == ["a.mp4", "b & <i>.mp4", "deep/c.avi"]
    for wrong in ("a.mp4", "../secret.mp4", str(library.folder / "a.mp4"), "leading_out.mp4", ""):
        with pytest.raises(UnknownVideoError):
            library.find(wrong)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        VideoLibrary(tmp_path / "none", library.preprocessing, 0)


def test_numbers_in_names_are_in_their_order(session, tmp_path):
    for name in ("clip10.mp4", "clip2.mp4", "a/b.mp4", "1.mp4", "Clip3.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"listed, not read")
    library = VideoLibrary(tmp_path, session.model.preprocessing, 0)
    names = [video.name for video in library.list_folder()]
    assert names == ["1.mp4", "a/b.mp4", "clip2.mp4", "Clip3.mp4", "clip10.mp4"]


def test_a_video_that_becomes_a_link_to_elsewhere_is_not_found(session, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    write_video(folder / "x.mp4", 12)
    library = VideoLibrary(folder, session.library.preprocessing, 0)
    known = library.list_folder()[0].video_id
    assert library.find(known).name == "x.mp4"
    (folder / "x.mp4").rename(tmp_path / "moved.mp4")
    (folder / "x.mp4").symlink_to(tmp_path / "moved.mp4")
    with pytest.raises(UnknownVideoError, match="not there any more"):
        library.find(known)
    library.close()


def test_a_message_has_the_name_of_a_video_and_no_path(session, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "broken.mp4").write_bytes(b"no video at all")
    session = make_session(session.model, folder, tmp_path / "index")
    with pytest.raises(MediaError, match=r"'broken\.mp4'") as caught:
        session.prepare("score", find_id(session, "broken.mp4"), VALUES)(Job("x"))
    assert str(tmp_path) not in str(caught.value)
    session.library.close()


def test_an_upload_is_tried_kept_and_removed(session, videos):
    library, data = session.library, (videos / "a.mp4").read_bytes()
    video = library.add_upload(io.BytesIO(data), "C:\\my videos\\..\\holiday\x07.MP4")
    assert (video.name, video.is_upload, library.find(video.video_id).path.read_bytes()) == (
        "holiday.MP4",
        True,
        data,
    )
    assert session.prepare("score", video.video_id, VALUES)(Job("x")).video == video
    place = video.path.parent
    for name, content, message in [
        ("notes.txt", b"x", "has the ending '.txt'; allowed are .3g2"),
        ("noise.mp4", b"\x00\x01" * 500, "'noise.mp4' cannot be read"),
        ("cut.mp4", data[: len(data) // 2], "'cut.mp4' cannot be read"),
        ("empty.mp4", b"", "'empty.mp4' cannot be read"),
        ("large.mp4", b"0" * (MAX_UPLOAD_BYTES + 1), "larger than the 0.3 MB that are allowed"),
    ]:
        with pytest.raises(UploadError, match=message) as caught:
            library.add_upload(io.BytesIO(content), name)
        assert str(place) not in str(caught.value)
    assert list(place.iterdir()) == [video.path]
    for _ in range(MAX_UPLOADS):
        library.add_upload(io.BytesIO(data), "again.mp4")
    with pytest.raises(UnknownVideoError):
        library.find(video.video_id)
    assert len(list(place.iterdir())) == MAX_UPLOADS == len(library.list_uploads())
    library.close()
    assert not place.exists()
    with pytest.raises(UploadError, match="takes no uploads"):
        VideoLibrary(videos, library.preprocessing, 0).add_upload(io.BytesIO(data), "a.mp4")
