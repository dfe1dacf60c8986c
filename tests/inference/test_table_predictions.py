"""Predictions of a table's rows: those of asking one by one, in the table's order, wherever they are made."""

import json
import pickle

import pytest
import torch

from clipbert_mmf.annotations.records import AnnotationError
from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.asking import WrongHeadError
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.table_predictions import predict_table
from tests.encoded_media import write_video
from tests.inference.small_run import load_sharp, make_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("predicted") / "run"
    make_run(folder, tokenizer_dir, head={"type": "match"})
    return folder


@pytest.fixture(scope="module")
def model(run_folder):
    return load_sharp(run_folder)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(3):
        write_video(folder / f"v{number}.mp4", 20 + 7 * number, fps=10)
    (folder / "bad.mp4").write_bytes(b"nothing")
    return folder


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def send(call, items):
    """Map as a cluster does: what is called is pickled, results come in another order."""
    return iter([pickle.loads(pickle.dumps(call))(item) for item in list(items)][::-1])


def test_each_row_has_what_asking_for_it_alone_gives(model, videos, tmp_path):
    table = tmp_path / "table.csv"
    rows = [("v0.mp4", "red"), ("v1", "blue"), ("bad.mp4", "red"), ("v0.mp4", "green"), ("gone", "red")]
    table.write_text("video,text\n" + "".join(f"{video},{text}\n" for video, text in rows))
    report = predict_table(model, table, tmp_path / "out.jsonl", videos)
    found = read(tmp_path / "out.jsonl")
    assert [(one["video"], one["text"], one["text_id"]) for one in found] == [
        (*row, str(number)) for number, row in enumerate(rows)
    ]
    assert report.num_rows == 5 and set(report.unreadable) == {"bad.mp4", "gone"}
    assert [one["readable"] for one in found] == [True, True, False, True, False]
    assert "cannot be opened" in found[2]["reason"] and "no such key" in found[4]["reason"]
    for number, name in ((0, "v0"), (1, "v1"), (3, "v0")):
        alone = model.score(videos / f"{name}.mp4", [rows[number][1]])
        assert found[number]["score"] == pytest.approx(alone.scores[0], rel=1e-4, abs=1e-5)
        assert found[number]["probability"] == pytest.approx(alone.probabilities[0], rel=1e-4)
        assert [clip["start_sec"] for clip in found[number]["clips"]] == [
            clip.start_sec for clip in alone.clips
        ]
    assert found[0]["score"] != pytest.approx(found[3]["score"], abs=1e-4)
    predict_table(model, table, tmp_path / "sent.jsonl", videos, send)
    assert (tmp_path / "sent.jsonl").read_text() == (tmp_path / "out.jsonl").read_text()


def test_a_part_of_a_video_is_read_alone(model, videos):
    table = videos / "parts.jsonl"
    rows = [{"video": "v2.mp4", "text": "red", "start_sec": 1}, {"video": "v2.mp4", "text": "red"}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict_table(model, table, videos / "out.jsonl")
    part, whole = read(videos / "out.jsonl")
    assert part["segment_sec"] == [1, None] and "segment_sec" not in whole
    assert part["clips"][0]["start_sec"] >= 1 and whole["clips"][0]["start_sec"] < 1


def test_a_part_that_cannot_be_read_loses_no_other_part(model, videos):
    table = videos / "late.jsonl"
    rows = [{"video": "v2.mp4", "text": "red", "start_sec": 99}, {"video": "v2.mp4", "text": "red"}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = predict_table(model, table, videos / "out.jsonl")
    assert report.num_rows == 2 and set(report.unreadable) == {"v2.mp4"}
    assert [one["readable"] for one in read(videos / "out.jsonl")] == [False, True]


def test_questions_are_answered_and_what_a_model_cannot_do_is_said_first(model, videos, tmp_path):
    table, out = tmp_path / "table.csv", tmp_path / "out.jsonl"
    table.write_text(f"video,question,options\n{videos / 'v0.mp4'},what color,red|blue\n")
    predict_table(model, table, out)
    (found,) = read(out)
    alone = model.answer(videos / "v0.mp4", "what color", ["red", "blue"])
    assert found["answer"] == alone.answer and found["probability"] == pytest.approx(alone.probability)
    assert found["options"] == ["red", "blue"]
    before = out.read_text()
    table.write_text(f"video,question\n{videos / 'gone.mp4'},what color\n")
    with pytest.raises(ValueError, match=r"gone.mp4, question 0: .*give the options"):
        predict_table(model, table, out)
    table.write_text("video,text\ngone.mp4,red\n")
    with pytest.raises(ValueError, match=r"none of the 1 videos of .*table\.csv can be read; the first"):
        predict_table(model, table, out)
    table.write_text("name,number\nx,1\n")
    with pytest.raises(AnnotationError, match="video"):
        predict_table(model, table, out)
    assert out.read_text() == before


def test_a_model_that_answers_is_given_no_texts(tokenizer_dir, videos, tmp_path):
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "regress"})
    table = tmp_path / "table.csv"
    table.write_text("video,text\nv0.mp4,red\n")
    model = ClipBert.from_pretrained(tmp_path / "run")
    with pytest.raises(WrongHeadError, match="can be asked to count and not to score"):
        predict_table(model, table, tmp_path / "out.jsonl", videos)
    table.write_text("video,question\nv0.mp4,how many\n")
    predict_table(model, table, tmp_path / "out.jsonl", videos)
    assert isinstance(read(tmp_path / "out.jsonl")[0]["answer"], int)


def test_the_command_predicts_a_table_in_several_processes_or_says_what_to_type(
    run_folder, videos, tmp_path, capsys
):
    table, out = tmp_path / "table.csv", tmp_path / "out.jsonl"
    table.write_text("video,text\nv0.mp4,red\nv1.mp4,blue\nv0.mp4,blue\n")
    words = ["predict", str(run_folder), "--table", str(table), "--data-dir", str(videos)]
    assert main([*words, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_rows"] == 3
    assert main([*words, "--out", str(tmp_path / "two.jsonl"), "--workers", "2"]) == 0
    with torch.no_grad():
        for one, other in zip(read(out), read(tmp_path / "two.jsonl"), strict=True):
            assert one["text"] == other["text"] and one["score"] == pytest.approx(other["score"], rel=1e-4)
    capsys.readouterr()
    assert main(["predict", str(run_folder), "--ray", "auto"]) == 1
    assert "add --table TABLE" in capsys.readouterr().err
    assert main([*words, "training.batch_size=2"]) == 1
    assert "training.batch_size=2 is for a run's dataset" in capsys.readouterr().err
