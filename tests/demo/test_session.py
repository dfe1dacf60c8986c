"""The page without the web: every head's ways to ask, and a search with its index."""

import importlib.util

import pytest

from clipbert_mmf.demo.jobs import Job
from clipbert_mmf.demo.session import MODES
from clipbert_mmf.library.store import open_library_store
from clipbert_mmf.modules.heads import HEADS
from tests.demo.small_page import find_id, make_model, make_session, write_folder
from tests.encoded_media import write_video

pytest.importorskip("captum", reason="captum is not installed: pip install flask waitress captum")
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
        longest = max(1.0, *(abs(clip.score) for clip in shown.clips))
        assert [clip.share for clip in shown.clips] == pytest.approx(
            [100 * clip.score / longest for clip in shown.clips]
        )
        assert shown.words
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
    if importlib.util.find_spec("lancedb") is not None:
        rows = open_library_store(session.index_folder).read_columns(("path",), "kind = 'video'")
        assert sorted(rows["path"].to_pylist()) == ["x.mp4", "y.mp4"]
    again = session.prepare("search", "", {"text": "a red circle"})(Job("x"))
    assert len(again.found) == 2
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
