"""Searching an index: both stages, the exact path, filters, moments, changed and missing media."""

import logging
import shutil

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.folder_search import open_folder_index
from clipbert_mmf.library.searching import Library
from clipbert_mmf.library.store import LibraryError, open_library_store
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man with a square", "blue"]


def test_with_all_candidates_the_result_is_that_of_the_exact_path(model, shared_videos, shared_index):
    exact = model.search(TEXTS, shared_videos)
    library = Library(shared_index, model)
    for count in (None, 10, 6):
        found = library.search(TEXTS, 6, count)
        for text in TEXTS:
            expected = {(hit.video, hit.score, hit.best_clip_sec) for hit in exact[text]}
            hits = found[text]
            assert {
                (str(shared_videos / hit.video), hit.score, hit.best_clip_sec) for hit in hits
            } == expected
            assert [hit.score for hit in hits] == [hit.score for hit in exact[text]]
            assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]


def test_embeddings_choose_the_candidates_and_only_their_media_are_read(model, shared_index, monkeypatch):
    library, opened = Library(shared_index, model), []
    read = type(library.source).read

    def note(self, path):
        opened.append(path)
        return read(self, path)

    monkeypatch.setattr(type(library.source), "read", note)
    (hits,) = library.search(TEXTS[:1], 2, 2).values()
    assert set(opened) == {hit.video for hit in hits} and len(hits) == 2
    vector = model.network.embed_texts(*model.encode_texts(TEXTS[:1]))[0]
    best = max(
        (row for rows, _ in library.store.iterate_rows() for row in rows if row.embedding is not None),
        key=lambda row: float(torch.from_numpy(row.embedding) @ vector),
    )
    assert best.facts.path in opened


def test_a_filter_leaves_what_it_says_and_a_wrong_one_says_what_is_allowed(model, shared_index):
    library = Library(shared_index, model)
    for count in (None, 9):
        found = library.search(["blue"], 9, count, "path like 'news/%' and duration_sec < 5")["blue"]
        assert {hit.video for hit in found} == {"news/d.mp4", "news/e.mp4"}
        assert library.search(["blue"], 9, count, "duration_sec > 99") == {"blue": []}
    with pytest.raises(
        ValueError, match=r"no column 'pth' \(did you mean 'path'\?\); allowed are path, kind"
    ):
        library.search(["blue"], where="pth like 'x'")
    with pytest.raises(ValueError, match="--where 'duration_sec <' is no filter"):
        library.search(["blue"], where="duration_sec <")
    with pytest.raises(ValueError, match="--where is empty"):
        library.search(["blue"], where=" ")


def test_a_filter_over_columns_that_differ_between_clips_leaves_the_same_for_every_k(model, shared_index):
    library = Library(shared_index, model)
    for where in (
        "start_sec > 1",
        "Kind = 'clip'",
        "end_sec < 1.5",
        "kind = 'video'",
        "end_sec > 4 -- seconds",
    ):
        assert library.search(["blue"], 9, 9, where) == library.search(["blue"], 9, None, where)
    assert len(library.search(["blue"], 9, 9, "end_sec > 4")["blue"]) == 2


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("true) or (kind = 'unreadable'", "brackets"),
        ("fps > 0; drop table media", "no filter"),
        ("fps > 0 limit 1", "no filter"),
        ("checksum > 0", "no column 'checksum'"),
        ('"embedding" is null', "no column 'embedding'"),
        ("_rowid > 3", "no column '_rowid'"),
    ],
)
def test_what_is_no_filter_alone_is_refused(model, shared_index, where, reason):
    with pytest.raises(ValueError, match=rf"--where.*{reason}"):
        Library(shared_index, model).search(["blue"], where=where)


def test_more_is_asked_for_than_there_is(model, shared_index):
    library = Library(shared_index, model)
    assert library.search(["blue"], 10**23, 10**23) == library.search(["blue"], 6, None)


def test_a_folder_without_an_index_has_the_candidates_of_an_index(model, shared_videos, shared_index):
    for text in TEXTS:
        for count in (1, 2, 3):
            plain = model.search([text], shared_videos, count, rerank_top_k=count)[text]
            found = Library(shared_index, model).search([text], count, count)[text]
            assert [hit.video for hit in plain] == [str(shared_videos / hit.video) for hit in found]


def test_a_source_that_moved_is_named_with_what_to_do(build, model, videos, tmp_path):
    build(videos, tmp_path / "index")
    videos.rename(tmp_path / "moved")
    with pytest.raises(LibraryError, match=r"media of the index .*/videos: nothing is there.*put them back"):
        Library(tmp_path / "index", model)


def test_a_window_is_found_with_its_moment(build, model, shared_videos, tmp_path):
    build(shared_videos, tmp_path / "index", window_sec=2.0)
    library = Library(tmp_path / "index", model)
    found = library.search(["blue"], 9, 99)["blue"]
    assert len({hit.video for hit in found}) == len(found) == 6
    assert library.search(["blue"], 9, None)["blue"] == found
    for hit in found:
        scores = {}
        for row in library.store.read_paths([hit.video]):
            window = (row.facts.start_sec, row.facts.end_sec)
            clips = model.preprocessing.read_clips(shared_videos / hit.video, window_sec=window)
            scores[window] = float(model.score_frames(clips.frames[None], ["blue"])[0, 0].diff())
        start, end = max(scores, key=lambda window: abs(hit.score) - abs(scores[window] - hit.score))
        assert start <= hit.best_clip_sec[0] < hit.best_clip_sec[1] <= end + 1e-6


def test_kept_tokens_need_no_video(build, model, videos, tmp_path):
    exact = {hit.video: hit.score for hit in model.search(["blue"], videos)["blue"]}
    for kind, tolerance in (("fp32", 0), ("bf16", 2e-2)):
        build(videos, tmp_path / kind, tokens=kind)
        library = Library(tmp_path / kind, model)
        library.source = None  # nothing is read
        library._tell_change = lambda row: None
        (hits,) = library.search(["blue"], 9, 9).values()
        found = {str(videos / hit.video): hit.score for hit in hits}
        assert found == pytest.approx(exact, abs=tolerance)


def test_what_changed_or_went_away_since_is_told(build, model, videos, tmp_path, caplog):
    build(videos, tmp_path / "index")
    (videos / "a.mp4").unlink()
    shutil.copy(videos / "c.mp4", videos / "b.mp4")
    with caplog.at_level(logging.WARNING):
        found = Library(tmp_path / "index", model, verifies=True).search(["blue"], 9, 9)["blue"]
    assert len(found) == 5 and "a.mp4" in caplog.text
    assert "b.mp4 changed since it was indexed" in caplog.text and "--update" in caplog.text


def test_another_model_is_refused_with_both_names(shared_index, tmp_path, tokenizer_dir):
    make_run(
        tmp_path / "other", tokenizer_dir, head={"type": "match"}, contrastive={"weight": 0.1, "size": 8}
    )
    other = ClipBert.from_pretrained(tmp_path / "other")
    next(other.network.backbone.parameters()).mul_(1.5)
    with pytest.raises(LibraryError, match=r"made with the model '.*/run' .*, and this is '.*/other'"):
        Library(shared_index, other, str(tmp_path / "other"))
    with pytest.raises(FileNotFoundError, match="is no index; make one with clipbert index"):
        Library(tmp_path, other)
    assert Library(shared_index).search(["blue"], 1, 3)  # the model that the index names


def test_numbers_and_texts_are_checked(model, shared_index):
    library = Library(shared_index, model)
    with pytest.raises(ValueError, match="rerank_top_k is 1; expected at least top_k, 2"):
        library.search(["blue"], 2, 1)
    with pytest.raises(ValueError, match="top_k is 0"):
        library.search(["blue"], 0)
    with pytest.raises(ValueError, match="texts are"):
        library.search([" "])
    found = library.search(["blue", "blue"], 3, 9)
    assert list(found) == ["blue"] and len({hit.video for hit in found["blue"]}) == 3


def find(library, vector, count, index):
    """Return facts and similarity of the nearest rows."""
    found = library.store.find_nearest(vector, count, index=index)
    rows = library.store.read_numbered([number for number, _ in found])
    assert [float(row.embedding @ vector) for row in rows] == pytest.approx(
        [value for _, value in found], abs=1e-5
    )
    return {row.facts for row in rows}, [value for _, value in found]


def test_partitions_of_embeddings_change_no_result(build, model, videos, tmp_path, monkeypatch):
    monkeypatch.setattr("clipbert_mmf.library.building.VECTOR_ROWS", 10)
    build(videos, tmp_path / "index")
    library = Library(tmp_path / "index", model)
    index = library.store.vector_index
    assert index is not None and index.kind == "exact"
    vector = model.network.embed_texts(*model.encode_texts(["blue"]))[0].numpy()
    with_index, without = (find(library, vector, 24, one) for one in (index, None))
    assert with_index[0] == without[0] and len(without[0]) == 24
    assert with_index[1] == pytest.approx(without[1], abs=1e-6)
    write_video(videos / "later.mp4", 44, fps=10)
    build(videos, tmp_path / "index")
    found = Library(tmp_path / "index", model).search(["blue"], 9, 9)["blue"]
    assert "later.mp4" in {hit.video for hit in found} and len(found) == 7


def test_candidates_of_a_text_are_the_media_of_its_best_rows_in_order(model, shared_index):
    library = Library(shared_index, model)
    vector = model.network.embed_texts(*model.encode_texts(["blue"]))[0].numpy()
    rows = [row for rows, _ in library.store.iterate_rows() for row in rows if row.embedding is not None]
    rows.sort(key=lambda row: -float(row.embedding @ vector))
    expected = list(dict.fromkeys(row.facts.path for row in rows))
    for count in (1, 2, 4):
        # Rows of a medium may all come first: more are looked at then.
        assert [row.facts.path for row in library.find_similar(vector, count)] == expected[:count]
    assert library.find_similar(vector, 1, "path = 'a.mp4'")[0].facts.path == "a.mp4"


def test_a_search_beside_a_writer_waits_for_its_note_and_checks_no_rows(
    build, model, videos, tmp_path, monkeypatch, caplog
):
    index = tmp_path / "index"
    build(videos, index)
    store = open_library_store(index)
    seal = (index / "clipbert_seal.json").read_text()
    (index / "clipbert_seal.json").write_text("{}")
    (index / "run.lock").touch()
    monkeypatch.setattr(
        "clipbert_mmf.library.store.time.sleep", lambda _: (index / "clipbert_seal.json").write_text(seal)
    )
    assert Library(index, model).search(["blue"], 1, 3) and "all rows are checked" not in caplog.text
    (index / "clipbert_seal.json").write_text("{}")
    (index / "run.lock").unlink()
    assert not store.wait_for_seal()


def test_each_search_of_a_folder_tells_what_cannot_be_read(
    model, run_folder, shared_videos, tmp_path, caplog
):
    pytest.importorskip("lancedb")
    for _ in range(2):
        caplog.clear()
        open_folder_index(model, str(run_folder), shared_videos, tmp_path / "index")
        assert "left out: bad.mp4: cannot be opened" in caplog.text


@pytest.fixture(scope="module")
def expected(model, shared_index):
    return Library(shared_index, model).search(["blue"], 9, 9)


def list_files(index):
    return sorted(path.relative_to(index) for path in index.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["cut", "emptied", "gone", "zeroed", "another"])
def test_each_file_of_an_index_may_be_damaged(model, shared_index, expected, tmp_path, kind):
    num_refused, files = 0, list_files(shared_index)
    for number, name in enumerate(files):
        copy = shutil.copytree(shared_index, tmp_path / str(number))
        data = (copy / name).read_bytes()
        if kind == "gone":
            (copy / name).unlink()
        else:
            other = (copy / files[number - 1]).read_bytes()
            changed = {"cut": data[: len(data) // 2], "emptied": b"", "zeroed": bytes(len(data))}
            (copy / name).write_bytes(changed.get(kind, other))
        try:
            found = Library(copy, model).search(["blue"], 9, 9)
        except (LibraryError, FileNotFoundError) as error:
            num_refused += 1
            assert "\n" not in str(error) and str(copy) in str(error)
        else:
            assert found == expected, name
    assert num_refused


def test_an_index_that_lost_its_last_commit_is_refused_and_made_whole_by_an_update(
    build, model, videos, tmp_path
):
    index = tmp_path / "index"
    build(videos, index)
    expected = Library(index, model).search(["blue"], 9, 9)
    versions = index / "media.lance" / "_versions"
    shutil.copytree(index, tmp_path / "before")
    (videos / "a.mp4").rename(videos / "renamed.mp4")
    build(videos, index, updates=True)
    for path in (tmp_path / "before" / "media.lance").rglob("*"):
        target = index / "media.lance" / path.relative_to(tmp_path / "before" / "media.lance")
        if path.is_file() and not target.exists():
            shutil.copy(path, target)
    kept = {path.name for path in (tmp_path / "before" / "media.lance" / "_versions").iterdir()}
    for path in versions.iterdir():
        if path.name not in kept:
            path.unlink()
    with pytest.raises(LibraryError, match=r"lost what was written last: .*--update"):
        Library(index, model)
    build(videos, index, updates=True)
    found = Library(index, model).search(["blue"], 9, 9)["blue"]
    assert {hit.video for hit in found} == {
        hit.video.replace("a.mp4", "renamed.mp4") for hit in expected["blue"]
    }
