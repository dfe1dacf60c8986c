"""Usual names of columns are understood where there is no doubt; every error ends with the key to type."""

import json
import math

import pytest

from clipbert_mmf.annotations import AnnotationError, read_annotations

KEY = "dataset_config.video_text_csv.columns"


def read(tmp_path, content, **settings):
    path = tmp_path / "t.csv"
    path.write_text(content)
    return list(read_annotations(path, "video_text", **settings))


@pytest.mark.parametrize(
    "video", ["video_id", "Video Path", "clip", "file_name", "filename", "path", "vid", "videoID"]
)
@pytest.mark.parametrize("text", ["caption", "Sentence", "description", "title", "label"])
def test_a_video_and_its_text_go_by_many_names(tmp_path, video, text):
    (record,) = read(tmp_path, f"{video},{text},year\na,a dog,1999\n")
    assert (record.media_key, record.text) == ("a", "a dog")


def test_options_may_stand_in_columns_of_their_own_and_vary_in_number(tmp_path):
    content = "video_name,question,a0,a1,a2,answer\na,what,x,y,z,2\nb,what,x,y,,1\n"
    records = read(tmp_path, content)
    assert [record.options for record in records] == [("x", "y", "z"), ("x", "y")]
    assert [record.answer for record in records] == [2, 1]
    (record,) = read(tmp_path, "clip_id,question,choices,correct answer\na,what,x|y,y\n")
    assert (record.options, record.answer) == (("x", "y"), 1)


def test_our_own_name_wins_and_a_configured_one_above_it(tmp_path):
    content = "video,path,text,caption\na,b,c,d\n"
    assert [(r.media_key, r.text) for r in read(tmp_path, content)] == [("a", "c")]
    (record,) = read(tmp_path, content, columns={"video": "path", "text": "caption"})
    assert (record.media_key, record.text) == ("b", "d")


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("video_id,path,text\na,b,c\n", None, rf"\['video_id', 'path'\].*set {KEY}.video=video_id$"),
        ("video,caption,title\na,b,c\n", None, rf"\['caption', 'title'\].*set {KEY}.text=caption$"),
        ("video,text\na,b\n", {"video": "nothing"}, rf"'nothing', as configured; set {KEY}.video=<column>$"),
        ("film,words\na,b\n", None, rf"set {KEY}.video=<column>, and so on$"),
    ],
)
def test_every_error_about_columns_ends_with_the_key(tmp_path, content, columns, message):
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path, content, columns=columns)


def test_a_table_with_texts_and_questions_is_read_as_the_task_needs(tmp_path):
    content = "video,text,question,answer\na,words,what,x\n"
    assert [r.text for r in read(tmp_path, content, needs="captions")] == ["words"]
    assert [r.text for r in read(tmp_path, content, needs="answers")] == ["what"]


@pytest.mark.parametrize(
    ("start", "end"),
    [("start", "end"), ("Start Time", "End Time"), ("start_time", "end_time"), ("begin", "stop")],
)
def test_parts_of_videos_go_by_many_names_and_that_is_told(tmp_path, start, end, caplog):
    content = f"video,text,{start},{end}\na,a dog,1.5,00:00:03\nb,a cat,,\n"
    assert [r.window_sec for r in read(tmp_path, content)] == [(1.5, 3.0), None]
    assert f"start_sec={start}; end_sec={end}" in caplog.text


def test_two_columns_that_may_be_the_start_are_an_error(tmp_path):
    with pytest.raises(AnnotationError, match=rf"set {KEY}.start_sec=begin$"):
        read(tmp_path, "video,text,begin,start_time\na,b,1,2\n")


@pytest.mark.parametrize("name", ["timestamps", "start_frame", "clipEndMs", "segment"])
def test_columns_that_look_like_parts_of_videos_and_are_not_read_are_told(tmp_path, name, caplog):
    read(tmp_path, f"video,text,{name}\na,a dog,1\n")
    assert f"columns {name} are not read; the part of a video is start_sec" in caplog.text


def test_records_of_a_json_file_may_have_keys_that_the_first_lacks(tmp_path):
    path = tmp_path / "t.jsonl"
    rows = [
        {"clip": "a", "question": "what", "answer": "x"},
        {"clip": "b", "question": "what", "answer": "y", "begin": 2, "choices": ["x", "y"]},
        {"clip": "c", "question": "what", "answer": "x", "a0": "x", "a1": "z"},
    ]
    for content in ("\n".join(map(json.dumps, rows)), json.dumps(rows)):
        path.write_text(content)
        found = list(read_annotations(path, "video_text"))
        assert [r.window_sec for r in found] == [None, (2.0, math.inf), None]
        assert [r.options for r in found] == [(), ("x", "y"), ()]


@pytest.mark.parametrize(
    ("header", "answers"),
    [
        ("A,B,C", ("B", "y", "1")),
        ("a,b,c", ("b", "B", "(b)")),
        ("option_0,option_1,option_2", ("option_1", "Option 1", "y")),
        ("choice_a,choice_b,choice_c", ("choice_b", "B", "1")),
    ],
)
def test_an_answer_may_name_the_column_of_its_option(tmp_path, header, answers):
    content = f"video,question,{header},answer\n" + "".join(f"v,what,x,y,z,{answer}\n" for answer in answers)
    records = read(tmp_path, content, needs="options")
    assert {(r.options, r.answer) for r in records} == {(("x", "y", "z"), 1)}


def test_a_question_table_with_options_in_columns_is_none_of_open_questions(tmp_path):
    with pytest.raises(AnnotationError, match="questions with options"):
        read(tmp_path, "video,question,A,B,C,answer\nv,what,x,y,z,B\n", needs="answers")


@pytest.mark.parametrize("name", ["fold", "set", "usage"])
def test_splits_in_a_column_of_another_name_are_never_drawn_anew(tmp_path, name):
    rows = "a,dog,Train\nb,cat,train\nc,man,Test\n"
    with pytest.raises(AnnotationError, match=rf"'{name}'.*'Test', 'Train'.*set {KEY}.split={name}$"):
        read(tmp_path, f"video,text,{name}\n{rows}")
    found = read(tmp_path, f"video,text,{name}\n{rows}", columns={"split": name}, splits=["train"])
    assert [r.media_key for r in found] == ["a", "b"]
    # A train may be on a picture.
    assert len(read(tmp_path, "video,text,object\na,dog,train\nb,cat,bus\n")) == 2


def test_a_start_with_a_length_instead_of_an_end_is_told(tmp_path, caplog):
    read(tmp_path, "video,text,start,duration\na,dog,1,2\n")
    assert "columns duration are not read" in caplog.text
    caplog.clear()
    read(tmp_path, "video,text,duration\na,dog,2\n")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
