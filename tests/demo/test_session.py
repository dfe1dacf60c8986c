"""The page without the web: every head's ways to ask, a search with its index, videos found by id, jobs in their order."""

import io
import threading

import pytest

from clipbert_mmf.demo.jobs import MAX_WAITING, Job, JobRunner, TooBusyError
from clipbert_mmf.demo.session import MODES
from clipbert_mmf.demo.video_library import MAX_UPLOADS, UnknownVideoError, UploadError, VideoLibrary
from clipbert_mmf.modules.heads import HEADS
from clipbert_mmf.video.errors import MediaError
from tests.demo.small_page import MAX_UPLOAD_BYTES, make_model, make_session, write_folder
from tests.encoded_media import write_video

pytest.importorskip("captum", reason="captum is not installed: pip install 'clipbert_mmf[demo]'")
VALUES = {
    "question": "what color is it ?",
    "options": "red\ngreen",
    "texts": "a red circle\n\n two dogs ",
    "text": "blue",
    "top": "2",
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("demo"))


@pytest.fixture()
def session(videos, tmp_path, tokenizer_dir):
    session = make_session(make_model(tmp_path / "run", tokenizer_dir, "match"), videos, tmp_path / "index")
    yield session
    session.library.close()


def find_id(session, name):
    return next(video.video_id for video in session.library.list_folder() if video.name == name)


def test_every_head_and_every_ability_has_a_mode():
    abilities = {ability for kind in HEADS.values() for ability in kind.asks}
    assert abilities == {mode.ability for mode in MODES.values()} and all(
        kind.asks for kind in HEADS.values()
    )


MODES_OF_HEADS = {
    "match": ["score", "search", "choose"],
    "pretrain": ["score", "search", "choose"],
    "choose_by_match": ["choose", "score", "search"],
    "choose": ["choose"],
    "classify": ["ask"],
    "regress": ["count"],
}


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_way_to_ask_is_answered_with_its_evidence(head, videos, tmp_path, tokenizer_dir):
    session = make_session(make_model(tmp_path / "run", tokenizer_dir, head), videos, tmp_path / "index")
    assert list(session.modes) == MODES_OF_HEADS[head]
    for name in session.modes:
        view = session.prepare(name, find_id(session, "deep/c.avi"), VALUES)(Job("x"))
        if name == "search":
            assert [hit.rank for hit in view.found] == [1, 2] and view.found[0].picture.startswith(
                "data:image/jpeg"
            )
            continue
        assert view.video.name == "deep/c.avi" and view.missing == ""
        shown = view.evidence
        assert [clip.when for clip in shown.clips][:2] == ["0.0 to 1.0 s", "1.6 to 2.6 s"] and len(
            shown.clips[0].frames
        ) == 2
        assert shown.clips[shown.best].score == max(clip.score for clip in shown.clips)
        assert max(clip.share for clip in shown.clips) == 100.0 and shown.words
        if view.rows[0].probability is not None:
            chances = [row.probability for row in view.rows]
            assert chances == sorted(chances, reverse=True) and (
                name == "score" or sum(chances) == pytest.approx(1.0, abs=1e-3)
            )
        for row in view.rows:
            again = session.prepare_evidence(view.video.video_id, row.text, row.answer)(Job("x"))
            assert again.label == (row.answer or row.text)
    session.library.close()


def test_what_is_shown_is_what_the_model_says(session):
    view = session.prepare("score", find_id(session, "a.mp4"), VALUES)(Job("x"))
    scored = session.model.score(session.library.folder / "a.mp4", ["a red circle", "two dogs"])
    assert {row.label: row.probability for row in view.rows} == pytest.approx(
        dict(zip(scored.texts, scored.probabilities, strict=True))
    )
    column = scored.texts.index(view.rows[0].label)
    assert [clip.score for clip in view.evidence.clips] == pytest.approx(
        [clip.scores[column] for clip in scored.clips], abs=1e-5
    )


def test_a_model_that_reads_its_clips_together_answers_without_evidence(session):
    session.model.network.clip_fusion = "concat"
    view = session.prepare("score", find_id(session, "a.mp4"), VALUES)(Job("x"))
    assert len(view.rows) == 2 and view.evidence is None and "reads its clips together" in view.missing


def test_where_is_by_occlusion_for_a_small_grid_and_its_passes_are_counted(session):
    session.saliency, job = None, Job("x")
    view = session.prepare("score", find_id(session, "a.mp4"), VALUES)(job)
    assert (
        view.evidence.method == "occlusion"
        and job.done + 1 == job.total > 50
        and job.note == "looking for the evidence"
    )


def test_a_search_counts_its_videos_names_what_it_left_out_and_encodes_once(session, tmp_path, tokenizer_dir):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, length in (("x.mp4", 20), ("y.mp4", 24)):
        write_video(folder / name, length)
    (folder / "broken.mp4").write_bytes(b"no video")
    session = make_session(session.model, folder, tmp_path / "other")
    job = Job("x")
    view = session.prepare("search", "", {"text": "blue"})(job)
    assert (
        "1 of 3 could not be read" in view.missing
        and len(view.found) == 2
        and (job.done, job.total) == (2, 2)
    )
    assert session.index.num_encoded == 2
    session.prepare("search", "", {"text": "a red circle"})(Job("x"))
    assert session.index.num_encoded == 2
    session.library.close()


@pytest.mark.parametrize(
    "mode, values, message",
    [
        ("fly", {}, "cannot be asked by 'fly'; it knows score, search, choose"),
        ("score", {"texts": " \n"}, "'Texts' is empty"),
        ("score", {"texts": "a\n" * 101}, "has 101 lines; at most 100"),
        ("score", {"texts": "a" * 1001}, "a line of more than 1000 letters"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_before_it_waits(session, mode, values, message):
    with pytest.raises(ValueError, match=message):
        session.prepare(mode, find_id(session, "a.mp4"), values)
    with pytest.raises(ValueError, match="choose a video first"):
        session.prepare("score", "", VALUES)
    with pytest.raises(ValueError, match="number of videos is 'many'; expected 1 to 50"):
        session.prepare("search", "", {"text": "a", "top": "many"})(Job("x"))


def test_the_library_lists_the_folder_alone_and_knows_no_path(session, tmp_path):
    library = session.library
    assert [video.name for video in library.list_folder()] == ["a.mp4", "b & <i>.mp4", "deep/c.avi"]
    for wrong in ("a.mp4", "../secret.mp4", str(library.folder / "a.mp4"), "leading_out.mp4", ""):
        with pytest.raises(UnknownVideoError):
            library.find(wrong)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        VideoLibrary(tmp_path / "none", library.preprocessing, 0)


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
        ("notes.txt", b"x", "has the ending '.txt'; allowed are .3gp"),
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


def test_jobs_run_one_at_a_time_and_a_fault_is_no_traceback():
    runner, gate = JobRunner((ValueError,)), threading.Event()
    jobs = [runner.submit(lambda job: gate.wait(20))]
    jobs += [runner.submit(lambda job: len(list(job.count([1, 2, 3])))) for _ in range(MAX_WAITING - 1)]
    with pytest.raises(TooBusyError, match="8 questions are waiting already"):
        runner.submit(lambda job: None)
    assert not jobs[1].is_finished
    gate.set()

    def fail(error):
        raise error

    def wait_for(job):
        done = threading.Event()
        for _ in range(200):
            if job.is_finished or done.wait(0.05):
                break
        return job

    wait_for(jobs[-1])
    known, unknown = (
        wait_for(runner.submit(lambda job, e=error: fail(e)))
        for error in (ValueError("bad text"), KeyError("x"))
    )
    assert (jobs[1].result, jobs[1].done, known.error) == (3, 3, "bad text")
    assert "went wrong" in unknown.error and "KeyError" not in unknown.error and runner.find("other") is None
    runner.close()
