"""Text, JSON, exit codes and error sentences of the verbs, on small saved models with each kind of head."""

from __future__ import annotations

import csv
import json
import logging
import re
import shutil
from pathlib import Path

import pytest
import torch

from clipbert_mmf.cli.main import main
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

#: Head -> answers of its vocabulary.
HEADS = {"match": (), "classify": ("red", "blue", "left"), "choose": (), "regress": ()}


@pytest.fixture(scope="module")
def run_of(tmp_path_factory, tokenizer_dir):
    """Return the folder of a run by the type of its head; it is written when first asked for."""
    folder = tmp_path_factory.mktemp("runs")

    def make(head: str, **changes) -> Path:
        name = "_".join([head, *changes])
        if not (folder / name).exists():
            answers = HEADS[head]
            make_run(
                folder / name,
                tokenizer_dir,
                head={"type": head, "num_answers": len(answers) or None},
                **changes,
            )
            if answers:
                vocabulary = {answer: index for index, answer in enumerate(answers)}
                (folder / name / "answers_msrvtt_retrieval.json").write_text(json.dumps(vocabulary))
        return folder / name

    return make


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A folder of three videos, one of them in a folder below it."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "deep").mkdir()
    for number, name in enumerate(["a.mp4", "b.mp4", "deep/c.mp4"]):
        write_video(folder / name, 30 + 10 * number, fps=10)
    return folder


@pytest.fixture
def run_verb(capsys, caplog):
    """Run a verb in this process; return its exit code, what it printed, and its errors and log."""

    def run(*words) -> tuple[int, str, str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="clipbert_mmf.cli"):
            code = main([str(word) for word in words])
        out, error = capsys.readouterr()
        # Of a terminal, the log is a part of the errors.
        told = [text for text in caplog.messages if text not in error]
        return code, out, "\n".join([error, *told]) if told else error

    return run


@pytest.fixture
def read_json(run_verb):
    """Run a verb with ``--json``, which must succeed; return what it printed as an object."""

    def run(*words):
        code, out, error = run_verb(*words, "--json")
        assert code == 0, error
        return json.loads(out)

    return run


TEXTS = ("a red circle", "two dogs near a man", "blue")


def test_texts_are_listed_with_the_best_first(run_verb, read_json, run_of, clip_folder):
    command = ("score", "--model", run_of("match"), clip_folder / "a.mp4", *TEXTS)
    code, out, _ = run_verb(*command)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3
    assert all(re.fullmatch(r" *\d+\.\d%  \D+", line) for line in lines)
    found = read_json(*command)
    order = sorted(range(3), key=lambda n: -found["scores"][n])
    assert lines == [f"{found['probabilities'][n]:7.1%}  {TEXTS[n]}" for n in order]


def test_json_holds_the_texts_in_the_given_order_and_the_clips(read_json, run_of, clip_folder):
    found = read_json("score", "--model", run_of("match"), clip_folder / "a.mp4", *TEXTS)
    assert set(found) == {"texts", "probabilities", "scores", "clips"} and found["texts"] == list(TEXTS)
    assert all(0 < value < 1 for value in found["probabilities"])
    assert len(found["clips"]) == 3
    for clip in found["clips"]:
        assert set(clip) == {"start_sec", "end_sec", "scores"} and len(clip["scores"]) == 3


@pytest.mark.parametrize("head", ["classify", "choose", "regress"])
def test_a_head_that_scores_nothing_is_named_with_those_that_do(run_verb, run_of, clip_folder, head):
    code, out, error = run_verb("score", "--model", run_of(head), clip_folder / "a.mp4", "a red circle")
    assert (code, out) == (1, "")
    assert error.startswith(f"clipbert score: this model's head is '{head}'") and "match" in error
    assert len(error.splitlines()) == 1


def test_a_video_that_is_missing_or_no_video_is_named(run_verb, run_of, clip_folder, tmp_path):
    code, _, error = run_verb("score", "--model", run_of("match"), clip_folder / "none.mp4", "blue")
    assert code == 1 and f"no file {clip_folder / 'none.mp4'}" in error
    (tmp_path / "text.mp4").write_bytes(b"no video at all" * 20)
    code, _, error = run_verb("score", "--model", run_of("match"), tmp_path / "text.mp4", "blue")
    assert code == 1 and "cannot be opened as a video" in error and len(error.splitlines()) == 1


def test_answers_of_the_vocabulary_are_listed_and_the_clearest_clip(run_verb, read_json, run_of, clip_folder):
    command = (
        "answer",
        "--model",
        run_of("classify"),
        clip_folder / "a.mp4",
        "what color is it",
        "--top",
        "2",
    )
    code, out, _ = run_verb(*command)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3
    assert all(re.fullmatch(r" *\d+\.\d%  (red|blue|left)", line) for line in lines[:2])
    assert re.fullmatch(r"clearest from \d\.\d s to \d\.\d s", lines[2])
    found = read_json(*command)
    assert {"answer", "probability", "candidates", "clips"} <= set(found)
    assert found["candidates"][0] == [found["answer"], found["probability"]] and len(found["candidates"]) == 2


def test_one_of_the_given_options_is_chosen(read_json, run_of, clip_folder):
    options = ("jumps", "turns", "moves")
    for head in ("choose", "match"):
        found = read_json(
            "answer", "--model", run_of(head), clip_folder / "a.mp4", "what does it do", "--options", *options
        )
        assert sorted(name for name, _ in found["candidates"]) == sorted(options)
        assert sum(chance for _, chance in found["candidates"]) > 0


def test_a_count_is_told_with_its_value_before_rounding(run_verb, read_json, run_of, clip_folder):
    command = ("answer", "--model", run_of("regress"), clip_folder / "a.mp4", "how many jumps")
    code, out, _ = run_verb(*command)
    assert code == 0 and re.match(r"\d+  \(before rounding: -?\d+\.\d\d\)\n", out)
    found = read_json(*command)
    assert isinstance(found["answer"], int) and found["probability"] is None


def test_a_choice_without_options_is_refused_in_one_line(run_verb, run_of, clip_folder):
    for head in ("choose", "match"):
        code, out, error = run_verb("answer", "--model", run_of(head), clip_folder / "a.mp4", "what is it")
        assert (code, out) == (1, "") and "options" in error and len(error.splitlines()) == 1


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


def test_a_checkpoint_is_described_in_lines_and_in_json(run_verb, read_json, run_of):
    file = run_of("match") / "clipbert_final.pth"
    code, out, _ = run_verb("inspect", file)
    assert code == 0 and out.startswith(f"{file}: our own checkpoint\n")
    assert "model_config.clipbert.weights.clipbert" in out
    found = read_json("inspect", file)
    keys = {"path", "container", "format", "parts", "files", "num_tensors", "num_values", "dtypes"}
    assert keys <= set(found)
    assert (found["container"], found["format"]) == ("PyTorch", "our own checkpoint")
    assert set(found["parts"]) == {"clipbert", "backbone", "transformer"}
    assert found["files"]["clipbert_final.pth"][0] == file.stat().st_size
    assert sum(found["dtypes"].values()) == found["num_tensors"]


def test_a_configuration_tells_what_the_file_would_fill(read_json, run_of):
    own = read_json("inspect", run_of("match") / "best.ckpt", "--config", run_of("match") / "config.yaml")
    other = read_json(
        "inspect", run_of("match") / "best.ckpt", "--config", run_of("classify") / "config.yaml"
    )
    assert own["report"] and other["report"] and own["report"] != other["report"]


def test_a_file_that_holds_no_weights_is_refused_in_one_line(run_verb, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"\0nothing" * 9)
    code, out, error = run_verb("inspect", tmp_path / "x.pth")
    assert (code, out) == (1, "") and len(error.splitlines()) == 1
    assert "is neither a PyTorch, safetensors nor pickle file" in error


def read_report(folder):
    return json.loads((folder / "report.json").read_text())


def test_good_videos_end_with_0_and_a_report(run_verb, clip_folder, tmp_path):
    code, _, error = run_verb("check", clip_folder, "--output", tmp_path / "check", "--workers", "1")
    assert code == 0 and f"0 of 3 media are bad; see {tmp_path / 'check'}" in error
    assert read_report(tmp_path / "check")


def test_a_truncated_video_ends_with_1_and_its_reason(run_verb, clip_folder, tmp_path):
    shutil.copytree(clip_folder, tmp_path / "videos")
    file = tmp_path / "videos" / "b.mp4"
    file.write_bytes(file.read_bytes()[:300])
    code, out, error = run_verb(
        "check", tmp_path / "videos", "--output", tmp_path / "check", "--workers", "1"
    )
    assert code == 1 and "1 of 3 media are bad" in error
    assert "b: " in out + error and "TruncatedMediaError: cut short" in out + error


def test_a_store_that_is_not_there_is_one_line(run_verb, tmp_path):
    code, _, error = run_verb("check", tmp_path / "none", "--output", tmp_path / "check", "--workers", "1")
    assert code == 1 and "nothing is there; expected a folder of files, an LMDB, tar shards" in error
    assert len(error.splitlines()) == 1


def test_a_converted_folder_scores_as_the_run_does(run_verb, read_json, run_of, clip_folder, tmp_path):
    code, out, _ = run_verb("convert", "--model", run_of("match"), "--out", tmp_path / "model")
    assert (code, out) == (0, f"wrote {tmp_path / 'model'}\n")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"README.md", "config.json"} <= names and any(name.endswith(".safetensors") for name in names)
    words = (clip_folder / "a.mp4", "a red circle", "blue")
    expected, found = (
        read_json("score", "--model", model, *words) for model in (run_of("match"), tmp_path / "model")
    )
    assert found == expected


def test_what_is_there_is_replaced_only_when_asked(run_verb, run_of, tmp_path):
    words = ("convert", "--model", run_of("match"), "--out", tmp_path / "model")
    assert [run_verb(*words)[0], run_verb(*words)[0], run_verb(*words, "--replace")[0]] == [0, 1, 0]
    assert f"{tmp_path / 'model'} exists already" in run_verb(*words)[2]


def test_the_released_format_is_a_state_dict_in_one_file(run_verb, run_of, tmp_path):
    words = ("convert", "--model", run_of("match"), "--out", tmp_path / "released.pt", "--to", "released")
    assert run_verb(*words)[0] == 0
    state = torch.load(tmp_path / "released.pt", weights_only=True)
    assert {name.split(".")[0] for name in state} == {"cnn", "transformer"}


def test_a_folder_that_is_no_run_is_refused_in_one_line(run_verb, tmp_path):
    code, out, error = run_verb("convert", "--model", tmp_path, "--out", tmp_path / "model")
    assert (code, out) == (1, "") and "nor the folder of a run" in error and len(error.splitlines()) == 1


CLIP = {"start_sec": 0.0, "end_sec": 1.0, "scores": []}


def retrieval_record(item, scores, own):
    return {
        "dataset": "d",
        "task": "retrieval",
        "item": item,
        "media_id": f"v{item}",
        "readable": True,
        "right_text_ids": [own],
        "texts": [],
        "scores": scores,
        "clips": [CLIP],
    }


@pytest.fixture
def retrieval_file(tmp_path):
    """Two videos and two texts: the first text finds its video, the second does not."""
    records = [
        retrieval_record(0, {"t0": 2.0, "t1": 1.5}, "t0"),
        retrieval_record(1, {"t0": 1.0, "t1": 0.5}, "t1"),
    ]
    path = tmp_path / "d_run_test_x.json"
    path.write_text(json.dumps(records))
    return path


def test_metrics_are_printed_as_lines_and_as_json(run_verb, read_json, retrieval_file):
    found = read_json("evaluate", retrieval_file)
    assert found["clipbert_retrieval/t2v_r1"] == 0.5 and found["clipbert_retrieval/num_items"] == 2
    code, out, _ = run_verb("evaluate", retrieval_file)
    assert code == 0
    assert {line.split()[0]: float(line.split()[1]) for line in out.splitlines()} == pytest.approx(
        found, rel=1e-5
    )


def test_ranks_are_written_as_a_table(run_verb, retrieval_file, tmp_path):
    code, _, _ = run_verb("evaluate", retrieval_file, "--ranks", tmp_path / "ranks.csv", "--depth", "1")
    rows = list(csv.reader((tmp_path / "ranks.csv").open()))
    assert code == 0 and len(rows) >= 3 and any("v0" in row for row in rows)


def test_a_file_that_is_no_json_is_refused_in_one_line(run_verb, tmp_path):
    (tmp_path / "x.json").write_text("nothing")
    code, out, error = run_verb("evaluate", tmp_path / "x.json")
    assert (code, out) == (1, "") and "is not JSON" in error and len(error.splitlines()) == 1


def test_the_page_of_a_run_without_predictions_is_written_and_named(run_verb, read_json, run_of, tmp_path):
    code, out, error = run_verb("report", run_of("match"), "--out", tmp_path / "page.html")
    assert (code, out) == (0, f"{tmp_path / 'page.html'}\n"), error
    assert "t2v_r1" in (tmp_path / "page.html").read_text()
    assert read_json("report", run_of("match"), "--out", tmp_path / "b.html") == {
        "out": str(tmp_path / "b.html")
    }


def test_a_folder_that_is_no_run_is_refused_in_one_line_by_report(run_verb, tmp_path):
    code, out, error = run_verb("report", tmp_path)
    assert (code, out) == (1, "") and "has neither config.yaml nor metrics.jsonl" in error
    assert len(error.splitlines()) == 1


def test_the_files_are_written_and_listed(run_verb, read_json, tmp_path):
    code, out, _ = run_verb("new-dataset", "birds", "--out", tmp_path)
    names = ("__init__.py", "configs/dataset.yaml", "configs/train.yaml", "annotations.csv", "test_birds.py")
    assert code == 0 and out.splitlines() == [str(tmp_path / "birds" / name) for name in names]
    assert all((tmp_path / "birds" / name).is_file() for name in names)
    assert len(read_json("new-dataset", "fish", "--out", tmp_path)) == len(names)


@pytest.mark.parametrize(
    "name, message",
    [
        ("Big.Birds", "expected lower-case letters, digits and underscores"),
        ("taken", "exists already; nothing"),
    ],
)
def test_a_bad_or_taken_name_writes_nothing(run_verb, tmp_path, name, message):
    (tmp_path / "taken").mkdir()
    code, out, error = run_verb("new-dataset", name, "--out", tmp_path)
    assert (code, out) == (1, "") and message in error and len(error.splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["taken"]


@pytest.mark.parametrize("kind", ["lmdb", "tar"])
def test_a_packed_folder_checks_as_good(run_verb, clip_folder, tmp_path, kind):
    target = tmp_path / "store"
    code, _, error = run_verb("build-store", clip_folder, target, "--to", kind, "--workers", "1")
    assert code == 0, error
    (report,) = tmp_path.glob("store*.json")
    assert json.loads(report.read_text())["failed"] == {}
    assert run_verb("check", target, "--output", tmp_path / "check", "--workers", "1")[0] == 0


def test_a_medium_that_cannot_be_re_encoded_ends_with_1(run_verb, tmp_path, clip_folder):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes((clip_folder / "a.mp4").read_bytes())
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"no video" * 50)
    words = (tmp_path / "videos", tmp_path / "store", "--to", "folder", "--reencode", "--workers", "1")
    code, _, error = run_verb("build-store", *words)
    assert code == 1 and "failed: bad: " in error
