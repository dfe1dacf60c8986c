"""``clipbert search`` and ``clipbert index``: the best videos of an index or a folder for each text."""

import importlib.util
import os
import re
import shutil

import pytest

HAS_LANCEDB = importlib.util.find_spec("lancedb") is not None
CONTRASTIVE = {"weight": 0.1, "size": 8}


def test_videos_are_ranked_for_each_text(run_verb, run_of, clip_folder, tmp_path):
    words = (clip_folder, "a red circle", "blue", "--top", "2", "--index", tmp_path / "index")
    code, out, _ = run_verb("search", "--model", run_of("match"), *words)
    lines = out.splitlines()
    assert code == 0 and [lines[0], lines[3]] == ['"a red circle"', '"blue"'] and len(lines) == 6
    pattern = r" +[12] +\d+\.\d%  (a\.mp4|b\.mp4|deep/c\.mp4)  at \d\.\d s"
    assert all(re.fullmatch(pattern, line) for line in (*lines[1:3], *lines[4:6]))
    assert not HAS_LANCEDB or list((tmp_path / "index").iterdir())


def test_json_holds_the_hits_of_each_text(read_json, run_of, clip_folder):
    found = read_json("search", "--model", run_of("match"), clip_folder, "a red circle", "--no-index")
    (hits,) = found.values()
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert all(set(hit) == {"video", "rank", "probability", "score", "best_clip_sec"} for hit in hits)
    assert not (clip_folder / ".clipbert_index").exists()


def test_an_index_changes_no_score(read_json, run_of, clip_folder, tmp_path):
    words = ("search", "--model", run_of("match"), clip_folder, "a red circle")
    expected = read_json(*words, "--no-index")
    for _ in range(2):
        found = read_json(*words, "--index", tmp_path / "index")["a red circle"]
        assert [(hit["video"], round(hit["score"], 4)) for hit in found] == [
            (hit["video"], round(hit["score"], 4)) for hit in expected["a red circle"]
        ]


def test_re_ranking_needs_a_contrastive_head(run_verb, run_of, clip_folder):
    words = (clip_folder, "blue", "--no-index", "--top", "2", "--rerank-top-k", "2")
    code, _, error = run_verb("search", "--model", run_of("match"), *words)
    assert code == 1 and "--rerank-top-k is 2, and this model has no contrastive head" in error
    assert "Leave --rerank-top-k out" in error and "clipbert train --from MODEL" in error
    code, out, _ = run_verb(
        "search", "--model", run_of("match", contrastive={"weight": 0.1, "size": 8}), *words
    )
    assert code == 0 and len(out.splitlines()) == 2


def test_numbers_are_refused_by_the_names_of_their_options(run_verb, run_of, clip_folder):
    model = ("--model", run_of("match"))
    code, _, error = run_verb("search", *model, clip_folder, "blue", "--rerank-top-k", "2")
    assert code == 1 and error == "clipbert search: --rerank-top-k is 2; expected at least --top, 10\n"


def test_an_empty_folder_is_named_with_the_endings_that_were_looked_for(run_verb, run_of, tmp_path):
    code, _, error = run_verb("search", "--model", run_of("match"), tmp_path, "blue")
    assert code == 1 and f"'{tmp_path}' holds no videos; looked for " in error and ".mp4" in error


def test_a_timeline_shows_every_clip_of_a_video_that_was_found(run_verb, read_json, run_of, clip_folder):
    words = (
        "search",
        "--model",
        run_of("match"),
        clip_folder,
        "a red circle",
        "--top",
        "1",
        "--show",
        "--no-index",
    )
    code, out, _ = run_verb(*words)
    legend, hit, timeline = out.splitlines()
    assert code == 0 and "each sign is a clip" in legend and hit.split()[0] == "1"
    ((found,),) = read_json(*words).values()
    line = re.fullmatch(r" +0\.0 s \|(.+)\| \d\.\d s", timeline)
    assert line and len(line[1]) == len(found["clips"]) > 1


@pytest.mark.skipif(not HAS_LANCEDB, reason="needs LanceDB")
def test_an_index_is_built_searched_and_kept_up_to_date(run_verb, read_json, run_of, clip_folder, tmp_path):
    videos, index = shutil.copytree(clip_folder, tmp_path / "videos"), tmp_path / "index"
    model = run_of("match", contrastive=CONTRASTIVE)
    words = ("index", videos, "--model", model, "--out", index)
    report = read_json(*words)
    assert (report["num_new"], report["num_rows"], report["unreadable"]) == (3, 12, {})
    # The index names its model.
    found = read_json("search", index, "a red circle", "blue", "--top", "2")
    assert list(found) == ["a red circle", "blue"] and all(len(hits) == 2 for hits in found.values())
    every = read_json("search", index, "blue", "--rerank-top-k", "all")["blue"]
    exact = read_json("search", videos, "blue", "--no-index", "--model", model)["blue"]
    assert [hit["score"] for hit in every] == [hit["score"] for hit in exact]
    (hit,) = read_json("search", index, "blue", "--where", "path like 'deep/%'")["blue"]
    assert hit["video"] == "deep/c.mp4" and hit["best_clip_sec"]
    (videos / "a.mp4").unlink()
    code, out, _ = run_verb("search", index, "blue")
    assert code == 0 and "a.mp4" not in out
    code, out, _ = run_verb(*words, "--update")
    assert code == 0 and out.startswith(f"{index}: 2 media: 1 removed, 2 unchanged; 8 rows, ")


@pytest.mark.skipif(not HAS_LANCEDB, reason="needs LanceDB")
def test_what_cannot_be_searched_or_indexed_says_what_to_type(run_verb, run_of, clip_folder, tmp_path):
    model, index = run_of("match", contrastive=CONTRASTIVE), tmp_path / "index"
    assert run_verb("index", clip_folder, "--model", model, "--out", index)[0] == 0
    for words, message in [
        (("search", clip_folder, "blue"), "is a folder of videos and no index: say with which --model"),
        (
            ("search", tmp_path / "none", "blue"),
            "no such index or folder; make one with clipbert index SOURCE",
        ),
        (("search", index, "blue", "--no-index"), "--no-index is of a folder of videos"),
        (
            ("search", index, "blue", "--where", "nme = 'x'"),
            "--where: no column 'nme'; allowed are path, kind",
        ),
        (
            ("search", index, "blue", "--model", run_of("match")),
            "embeddings of two models cannot be compared",
        ),
        (("search", index, "blue", "--index", "x"), "--index is of a folder of videos"),
        (
            ("index", clip_folder, "--model", run_of("match"), "--out", index),
            "this model has no contrastive head",
        ),
    ]:
        code, out, error = run_verb(*words)
        assert code == 1 and not out and message in error and "Traceback" not in error, words


@pytest.mark.skipif(not HAS_LANCEDB, reason="needs LanceDB")
def test_an_index_of_a_folder_is_made_anew_where_it_cannot_be_used(run_verb, run_of, clip_folder, tmp_path):
    index = tmp_path / "index"
    words = ("search", clip_folder, "blue", "--index", index, "--model")
    expected = run_verb("search", clip_folder, "blue", "--no-index", "--model", run_of("match"))[1]
    other = run_of("match", contrastive=CONTRASTIVE)
    assert run_verb(*words, other)[0] == 0
    assert run_verb(*words, run_of("match"))[1] == expected
    data = next((index / "media.lance" / "data").glob("*.lance"))
    data.write_bytes(data.read_bytes()[: os.stat(data).st_size // 2])
    code, out, _ = run_verb(*words, run_of("match"))
    assert code == 0 and out == expected
