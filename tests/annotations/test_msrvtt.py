"""MSR-VTT's files of captions, questions and choices."""

import json

import pytest

from clipbert_mmf.annotations import AnnotationError, read_annotations
from tests.annotations.owner_files import MSRVTT, write

QA = {"answer": "a", "id": 1, "question": "what ?", "video_id": 3, "category_id": 0}


CHOICE = {"qid": 1, "clip_name": "video1", "answer": "0", "options": list("abcde")}


def test_msrvtt_json_gives_captions_of_the_wanted_splits_in_file_order(tmp_path):
    path = write(tmp_path / "a.json", MSRVTT)
    assert [(r.media_key, r.text, r.text_id) for r in read_annotations(path, "msrvtt", ["train", "val"])] == [
        ("video0", "ein Hünd", "8"),
        ("video1", "a dog", "9"),
    ]
    assert [r.text for r in read_annotations(path, "msrvtt")] == ["a cat", "ein Hünd", "a dog"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_msrvtt_test_csv_with_any_separator_and_quotes(tmp_path, separator):
    rows = [
        ["key", "vid_key", "video_id", "sentence"],
        ["ret0", "msr1", "video1", '"say ""hi"" again"'],
        ["ret1", "msr2", "video2", "same"],
        ["ret2", "msr3", "video3", "same"],
    ]
    path = write(tmp_path / "t.csv", "\r\n".join(separator.join(row) for row in rows))
    records = list(read_annotations(path, "msrvtt"))
    assert [r.text_id for r in records] == ["ret0", "ret1", "ret2"]
    assert records[0].text == 'say "hi" again'


def test_msrvtt_questions_and_choices(tmp_path):
    array = write(tmp_path / "q.json", [QA, {**QA, "id": 2, "question": "Who  is it ?", "answer": "man"}])
    lines = write(
        tmp_path / "q.jsonl",
        json.dumps({"question": "how ?", "answer": "x", "video_id": "video3", "answer_type": "how"}),
    )
    by_video = write(tmp_path / "v.json", {"video3": [{"question": "where is it ?", "answer": "park"}]})
    found = [record for path in (array, lines, by_video) for record in read_annotations(path, "msrvtt_qa")]
    assert {record.media_key for record in found} == {"video3"}
    assert [record.answer_type for record in found] == ["what", "who", "how", "where"]
    assert [record.answer for record in found] == ["a", "man", "x", "park"]
    table = write(
        tmp_path / "c.csv", "key\tvid_key\ta1\ta2\ta3\ta4\ta5\tanswer\r\nk0\tmsr12\tA\tB\tC\tD\tE\t2\r\n"
    )
    lines = write(
        tmp_path / "c.jsonl",
        json.dumps({**CHOICE, "clip_name": "video12", "answer": "2", "options": list("ABCDE")}),
    )
    for path in (table, lines):
        (record,) = read_annotations(path, "msrvtt_choice")
        assert (record.media_key, record.answer, record.options) == ("video12", 2, tuple("ABCDE"))


def test_an_unknown_split_names_those_there_are(tmp_path):
    with pytest.raises(
        AnnotationError, match=r"found \['test', 'train', 'val'\]; expected a split of \['dev'\]"
    ):
        list(read_annotations(write(tmp_path / "a.json", MSRVTT), "msrvtt", ["dev"]))


def test_the_form_of_the_hub_lists_a_videos_captions(tmp_path):
    rows = [
        {"video_id": "video0", "caption": ["a", "b"], "start time": 9.0},
        {"video_id": "video1", "caption": "c"},
    ]
    records = list(read_annotations(write(tmp_path / "h.json", rows), "msrvtt"))
    assert [(r.media_key, r.text, r.window_sec) for r in records] == [
        ("video0", "a", None),
        ("video0", "b", None),
        ("video1", "c", None),
    ]


@pytest.mark.parametrize(
    ("corpus", "name", "content"),
    [
        ("msrvtt", "a.csv", "key,video_id,sentence,start,end\nret0,video1,a dog,1,2.5\n"),
        ("msrvtt", "a.json", [{"video_id": "video1", "caption": ["a dog"], "start": 1, "end": 2.5}]),
        (
            "msrvtt_choice",
            "a.tsv",
            "vid_key\ta1\ta2\ta3\ta4\ta5\tanswer\tstart_sec\tend_sec\nmsr1\ta\tb\tc\td\te\t0\t00:01\t00:02.5\n",
        ),
        (
            "msrvtt_qa",
            "a.json",
            {"video1": [{"question": "what", "answer": "a", "start_sec": 1, "end_sec": 2.5}]},
        ),
        (
            "msvd_qa",
            "a.json",
            [{"question": "what", "answer": "a", "video_id": 1, "start": "1", "end": "2.5"}],
        ),
        (
            "activitynet_qa",
            "a.json",
            [{"video_name": "x", "question": "w", "question_id": "1", "answer": "a", "start": 1, "end": 2.5}],
        ),
    ],
)
def test_every_form_reads_the_part_of_a_row(tmp_path, corpus, name, content):
    (record,) = read_annotations(write(tmp_path / name, content), corpus)
    assert record.window_sec == (1.0, 2.5)
