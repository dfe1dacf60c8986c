"""``clipbert search``: the best videos of a folder for each text, with and without an index."""

import re


def test_videos_are_ranked_for_each_text(run_verb, run_of, clip_folder, tmp_path):
    words = (clip_folder, "a red circle", "blue", "--top", "2", "--index", tmp_path / "index")
    code, out, _ = run_verb("search", "--model", run_of("match"), *words)
    lines = out.splitlines()
    assert code == 0 and [lines[0], lines[3]] == ['"a red circle"', '"blue"'] and len(lines) == 6
    pattern = r" +[12] +\d+\.\d%  (a\.mp4|b\.mp4|deep/c\.mp4)  at \d\.\d s"
    assert all(re.fullmatch(pattern, line) for line in (*lines[1:3], *lines[4:6]))
    assert list((tmp_path / "index").iterdir())


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
    assert code == 1 and "rerank_top_k is 2, and this model has no contrastive head" in error
    code, out, _ = run_verb(
        "search", "--model", run_of("match", contrastive={"weight": 0.1, "size": 8}), *words
    )
    assert code == 0 and len(out.splitlines()) == 2


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
