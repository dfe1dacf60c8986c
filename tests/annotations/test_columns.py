"""Usual names of columns are understood where there is no doubt; every error ends with the key to type."""

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
