"""A user's own rows: video and text, or video, question and answer, with optional columns."""

import math
from pathlib import Path

import pytest

from clipbert_mmf.annotations import AnnotationError, read_annotations
from clipbert_mmf.annotations.own import parse_questions, parse_texts
from clipbert_mmf.annotations.records import Source

SOURCE = Path("own.csv")


def parse(parser, *rows, splits=None):
    return list(parser(Source(SOURCE, splits), ((f"line {n}", row) for n, row in enumerate(rows, start=2))))


def test_a_video_is_named_as_it_is_written():
    names = ["a.mp4", "x/b.MOV", "c", "d.e", "x\\f.gif"]
    rows = [{"video": f" {name} ", "text": "t"} for name in names]
    assert [record.media_key for record in parse(parse_texts, *rows)] == names


def test_rows_of_other_splits_are_left_out():
    rows = [{"video": "a", "text": "x", "split": "train"}, {"video": "b", "text": "y", "split": "val"}]
    assert [record.text for record in parse(parse_texts, *rows, splits=["val"])] == ["y"]
    with pytest.raises(AnnotationError, match="column 'split': found ..train., .val..; expected a row of"):
        parse(parse_texts, *rows, splits=["test"])


def test_usual_names_of_splits_are_understood_in_any_case():
    names = {
        "train": ("Training", "trn", " TRAIN"),
        "val": ("validation", "Valid", "dev", "eval"),
        "test": ("testing",),
    }
    for split, given in names.items():
        for name in given:
            rows = [{"video": "a", "text": "x", "split": name}]
            assert len(parse(parse_texts, *rows, splits=[split])) == 1
    rows = [{"video": "a", "text": "x", "split": "fold1"}, {"video": "b", "text": "y", "split": "fold2"}]
    assert [record.text for record in parse(parse_texts, *rows, splits=["fold2"])] == ["y"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"split": ""}, "line 3, 'split': found ''"),
        ({"split": "tset"}, "line 3, 'split': found 'tset'"),
        ({}, "line 3, 'split'"),
    ],
)
def test_a_row_without_a_split_or_with_an_unknown_one_is_never_lost(second, message):
    rows = [{"video": "a", "text": "x", "split": "train"}, {"video": "b", "text": "y", **second}]
    with pytest.raises(AnnotationError, match=message):
        parse(parse_texts, *rows, splits=["train"])


def test_eval_beside_another_name_of_a_split_may_be_either():
    rows = [{"video": "a", "text": "x", "split": name} for name in ("train", "val", "eval")]
    with pytest.raises(AnnotationError, match="line 4.*'eval' may be meant as val or as test"):
        parse(parse_texts, *rows, splits=["train"])


@pytest.mark.parametrize(
    ("needs", "row", "message"),
    [
        ("captions", {"answer": "red"}, "line 2: found 'questions with answers"),
        ("answers", {"answer": "red", "options": "red|blue"}, "found 'questions with options'"),
        ("options", {"answer": "red"}, "found 'questions with answers"),
        ("options", {"answer": "red", "options": ""}, "line 2, 'options'"),
        ("counts", {"answer": "three"}, "line 2, 'answer': found 'three'; expected a whole number"),
        ("counts", {"answer": "1", "options": "2|3"}, "found 'questions with options'"),
    ],
)
def test_rows_that_the_task_cannot_read_are_refused_with_the_line(needs, row, message):
    rows = iter([("line 2", {"video": "a", "question": "what ?", **row})])
    with pytest.raises(AnnotationError, match=message):
        list(parse_questions(Source(SOURCE, needs=needs), rows))


def test_an_answer_among_options_that_are_numbers_is_told_once(caplog):
    rows = [
        {"video": "a", "question": "how many", "options": "2|3|4", "answer": answer} for answer in ("2", "0")
    ]
    assert [record.answer for record in parse(parse_questions, *rows)] == [0, 0]
    assert len(caplog.records) == 1 and "the option of that name" in caplog.text


def test_a_question_is_answered_by_text_or_by_an_option_or_its_index():
    base = {"video": "a", "question": "what ?"}
    free, by_text, by_index = parse(
        parse_questions,
        {**base, "answer": " red ", "type": "color"},
        {**base, "options": "red|blue", "answer": "blue"},
        {**base, "options": ["red", "blue"], "answer": 0},
    )
    assert (free.answer, free.answer_type, free.options) == ("red", "color", ())
    assert (by_text.answer, by_index.answer, by_text.options) == (1, 0, ("red", "blue"))


def test_a_window_is_read_in_seconds():
    (record,) = parse(parse_texts, {"video": "a", "text": "t", "start_sec": "1", "end_sec": 2.5})
    assert record.window_sec == (1.0, 2.5)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"start_sec": "00:01:02.5", "end_sec": "1:03"}, (62.5, 63.0)),
        ({"start": 3, "end": "1:00:00,25"}, (3.0, 3600.25)),
        ({"start_sec": "4", "end_sec": ""}, (4.0, math.inf)),
        ({"start_sec": " ", "end_sec": "4"}, (0.0, 4.0)),
        ({"start_sec": None, "end_sec": ""}, None),
    ],
)
def test_times_are_seconds_or_a_clock_and_one_may_be_missing(columns, expected):
    (record,) = parse(parse_texts, {"video": "a", "text": "t", **columns})
    assert record.window_sec == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"video": "", "text": "t"}, "line 2, 'video'"),
        ({"video": "a", "text": " "}, "line 2, 'text': found ''; expected words"),
        ({"video": "a", "text": "t", "start_sec": "soon"}, "'start_sec' and 'end_sec'"),
        ({"video": "a", "text": "t", "start": -1}, "'start' and 'end_sec'"),
        ({"video": "a", "text": "t", "start_sec": 3, "end_sec": 1}, "the start before the end"),
    ],
)
def test_a_wrong_row_is_named(row, message):
    with pytest.raises(AnnotationError, match=message):
        parse(parse_texts, row)


def test_an_id_may_occur_once():
    with pytest.raises(AnnotationError, match="line 3: found '7'; expected each id once"):
        parse(parse_texts, {"video": "a", "text": "t", "id": "7"}, {"video": "b", "text": "u", "id": "7"})


def test_of_equal_options_the_first_is_the_answer(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("video,question,options,answer\nv,what,red|blue|red,2\nv,what,red|blue|red,red\n")
    assert [record.answer for record in read_annotations(path, "video_text")] == [0, 0]


def test_an_id_of_0_is_an_id():
    rows = [{"video": "a", "text": "x", "id": number} for number in (1, 2, 0, " 3 ")]
    assert [record.text_id for record in parse(parse_texts, *rows)] == ["1", "2", "0", "3"]
    with pytest.raises(AnnotationError, match="line 3: found '0'; expected each id once"):
        parse(parse_texts, *[{"video": "a", "text": "x", "id": 0}] * 2)


@pytest.mark.parametrize("ids", [("1", None), (None, 0), ("1", " ")])
def test_the_number_of_a_row_is_never_another_rows_id(ids):
    rows = [{"video": "a", "text": "x", **({} if given is None else {"id": given})} for given in ids]
    with pytest.raises(AnnotationError, match="line 3, 'id': found .*an id in every row, or in none"):
        parse(parse_texts, *rows)


def test_what_looks_like_a_number_and_is_none_is_refused_with_its_line():
    rows = [
        {"video": "a", "question": "x", "answer": answer, "options": "p|q|r"} for answer in ("²", "9" * 5000)
    ]
    for row in rows:
        with pytest.raises(AnnotationError, match="line 2, 'answer': found"):
            parse(parse_questions, row)
    row = {"video": "a", "question": "x", "answer": "9" * 5000}
    with pytest.raises(AnnotationError, match="a whole number in digits"):
        list(parse_questions(Source(SOURCE, needs="counts"), iter([("line 2", row)])))
    with pytest.raises(AnnotationError, match="seconds or HH:MM:SS"):
        parse(parse_texts, {"video": "a", "text": "x", "start_sec": "1_0", "end_sec": 20})
