"""The page on an index: search first, pages of hits with the frame of their moment, no list of names."""

import json
import re
import urllib.error
import urllib.request

import pytest

from clipbert_mmf.demo.index_search import HITS_PER_PAGE, IndexSearch, require_folder_source
from clipbert_mmf.demo.jobs import Job
from clipbert_mmf.demo.session import DemoSession
from clipbert_mmf.demo.video_library import VideoLibrary
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import IndexOptions, build_index
from clipbert_mmf.library.searching import Library
from tests.demo.small_page import serving
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

pytest.importorskip("lancedb")
pytest.importorskip("flask")
NUM_VIDEOS = HITS_PER_PAGE + 2


@pytest.fixture(scope="module")
def session(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("indexed")
    make_run(folder / "run", tokenizer_dir, head={"type": "match"}, contrastive={"weight": 0.1, "size": 8})
    (folder / "videos").mkdir()
    for number in range(NUM_VIDEOS):
        write_video(folder / "videos" / f"v{number}.mp4", 10 + 2 * number, fps=10)
    model = ClipBert.from_pretrained(folder / "run")
    build_index(
        model, str(folder / "run"), folder / "videos", folder / "index", IndexOptions(timeout_sec=None)
    )
    index = Library(folder / "index", model)
    videos = VideoLibrary(require_folder_source(index, folder / "index"), model.preprocessing, 0, lists=False)
    session = DemoSession(model, videos, folder / "none", index=IndexSearch(index, videos))
    yield session
    videos.close()


def ask(session, **values):
    return session.prepare("search", "", {"text": "blue", **values})(Job("x"))


def test_hits_come_in_pages_and_a_wrong_page_or_filter_is_refused(session):
    assert next(iter(session.modes)) == "search" and session.library.list_folder() == []
    first, second = ask(session), ask(session, page="2")
    assert (len(first.found), first.next_page, len(second.found), second.next_page) == (
        HITS_PER_PAGE,
        2,
        2,
        0,
    )
    assert [hit.rank for hit in (*first.found, *second.found)] == list(range(1, NUM_VIDEOS + 1))
    assert f"Chosen from {NUM_VIDEOS} videos" in first.note
    assert [hit.video.name for hit in ask(session, where="path = 'v3.mp4'").found] == ["v3.mp4"]
    assert ask(session, where="duration_sec > 99").headline == "Nothing was found"
    with pytest.raises(ValueError, match="the page is '11'; expected 1 to 10"):
        ask(session, page="11")
    with pytest.raises(ValueError, match="no column 'pth'"):
        ask(session, where="pth = 1")


def test_the_page_lists_no_names_and_draws_a_moment_when_it_is_asked_for(session):
    hit = ask(session).found[0]
    with serving(session) as (host, port):
        root = f"http://{host}:{port}"
        page = urllib.request.urlopen(f"{root}/").read().decode()
        assert f"{NUM_VIDEOS} videos are in the index." in page and "v3.mp4" not in page
        assert re.match(rf"/picture/{hit.video.video_id}\?from=[\d.]+&to=[\d.]+$", hit.picture)
        assert urllib.request.urlopen(root + hit.picture).read().startswith(b"\xff\xd8")
        for query in ("?from=1&to=x", "?from=2&to=1", "?from=nan&to=1"):
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(f"{root}/picture/{hit.video.video_id}{query}")
            assert error.value.code == 400 and "no part of a video" in json.load(error.value)["error"]


def test_a_page_that_was_shown_follows_the_index(session):
    before = [hit.video.name for hit in ask(session, where="path like 'v1%'").found]
    index = session.index.index
    index.store.remove(["v10.mp4"])
    after = [hit.video.name for hit in ask(session, where="path like 'v1%'").found]
    assert [name for name in before if name != "v10.mp4"] == after != before
