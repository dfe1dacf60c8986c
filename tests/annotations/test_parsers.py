"""Owners' formats and ClipBERT's jsonl, right and wrong ones."""

import gzip
import json
from pathlib import Path

import pytest

from clipbert_mmf.annotations import AnnotationError, read_annotations, read_keys

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "realdata" / "annotations"


def video(number, split="train"):
    return {
        "category": 1,
        "url": "",
        "video_id": f"video{number}",
        "start time": 0.0,
        "end time": 1.0,
        "split": split,
        "id": number,
    }


MSRVTT = {
    "info": {},
    "videos": [video(0), video(1, "validate"), video(2, "test")],
    "sentences": [
        {"caption": " a  cat\n", "video_id": "video2", "sen_id": 7},
        {"caption": "ein Hünd", "video_id": "video0", "sen_id": 8},
        {"caption": "a dog", "video_id": "video1", "sen_id": 9},
    ],
}


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
        return path
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


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


def test_clipbert_jsonl_without_a_final_newline(tmp_path):
    path = write(
        tmp_path / "r.jsonl",
        '{"caption": "x y", "clip_name": "video7", "sen_id": 3, "extra": 1}\n'
        '{"caption": ["one.", "two."], "clip_name": "v_8", "retrieval_key": "ret4"}',
    )
    assert [(r.media_key, r.text, r.text_id) for r in read_annotations(path, "msrvtt")] == [
        ("video7", "x y", "3"),
        ("v_8", "one. two.", "ret4"),
    ]


def test_coco_captions_karpathy_and_jsonl(tmp_path):
    coco = {
        "images": [{"id": 5, "file_name": "COCO_val2014_000000000005.jpg"}],
        "annotations": [{"image_id": 5, "id": 1, "caption": "a b \n"}],
    }
    assert [
        (r.media_key, r.text) for r in read_annotations(write(tmp_path / "c.json", coco), "coco_captions")
    ] == [("COCO_val2014_000000000005", "a b")]
    karpathy = {
        "dataset": "coco",
        "images": [
            {"filename": f"{split}.jpg", "split": split, "sentences": [{"raw": split, "sentid": 1}]}
            for split in ("train", "restval", "val")
        ],
    }
    path = write(tmp_path / "k.json", karpathy)
    assert [r.text for r in read_annotations(path, "coco_captions", ["train"])] == ["train", "restval"]
    path = write(tmp_path / "p.jsonl", '{"coco_id": 12, "caption": "c"}\n{"vg_id": 13, "caption": "d"}\n')
    assert [r.media_key for r in read_annotations(path, "coco_captions")] == ["12", "13"]


TGIF_HEADER = "gif_name\tquestion\ta1\ta2\ta3\ta4\ta5\tanswer\tvid_id\tkey\r\n"
TGIF_ROW = "g\tq ?\ta\tb\tc\td\te\t{}\tA{}\t1\r\n"
COCO = {
    "images": [{"id": 5, "file_name": "5.jpg"}],
    "annotations": [{"image_id": 5, "id": 1, "caption": "a"}],
}
QUESTION = {"question_id": 1, "image_id": 2, "question": "is it ?"}
VQA = {"data_subtype": "val2014", "questions": [QUESTION]}
QA = {"answer": "a", "id": 1, "question": "what ?", "video_id": 3}
DIDEMO = {"video": "a.mov", "description": "d", "times": [[0, 0]]}
CHOICE = {"qid": 1, "clip_name": "video1", "answer": "0", "options": list("abcde")}

#: Case -> (corpus, content, what the error says).
BROKEN = {
    "empty": ("msrvtt", "", "the file is empty"),
    "blank": ("tgif_choice", " \n\n", "the file is empty"),
    "truncated json": ("msrvtt", json.dumps(MSRVTT)[:-40], r"line 1, column \d+: found .*expected JSON"),
    "no sentences": (
        "msrvtt",
        {"videos": [video(0)], "info": {}},
        r"found \['info', 'videos'\]; expected msrvtt: a JSON object with keys videos, sentences; or a table",
    ),
    "unknown video": (
        "msrvtt",
        {**MSRVTT, "sentences": [{"caption": "a", "video_id": "video9", "sen_id": 1}]},
        r"sentences\[0\]: found 'video9'; expected a video_id of 'videos'",
    ),
    "twice the same video": (
        "msrvtt",
        {**MSRVTT, "videos": [video(0), video(0)]},
        r"videos\[1\]: found 'video0'; expected each",
    ),
    "caption missing": (
        "msrvtt",
        {**MSRVTT, "sentences": [{"video_id": "video0", "sen_id": 1}]},
        r"sentences\[0\].*a key 'caption'",
    ),
    "caption a number": (
        "msrvtt",
        {**MSRVTT, "sentences": [{"caption": 3, "video_id": "video0", "sen_id": 1}]},
        r"sentences\[0\], 'caption': found 3; expected a value of type str",
    ),
    "videos no list": (
        "msrvtt",
        {**MSRVTT, "videos": {}},
        "'videos': found {}; expected a value of type list",
    ),
    "column missing": (
        "msrvtt",
        "key,vid_key,sentence\nr,m,s\n",
        r"line 1: found \['key', 'sentence', 'vid_key'\].*with columns key, video_id, sentence",
    ),
    "row too short": (
        "msrvtt",
        "key,vid_key,video_id,sentence\nret0,msr0,video0,s\nret1,msr1\n",
        "line 3.*4 columns",
    ),
    "key twice": (
        "msrvtt",
        "key,vid_key,video_id,sentence\nr,m,v,s\nr,m,v,s\n",
        "line 3: found 'r'; expected each key once",
    ),
    "wrong separator": ("tgif_choice", TGIF_HEADER.replace("\t", "|"), r"line 1: found .*gif_name\|question"),
    "jsonl line broken": (
        "msrvtt",
        '{"caption": "a", "clip_name": "b"}\n{"caption": \n',
        "line 2: found .*JSON object",
    ),
    "jsonl line a list": ("msrvtt", '{"caption": "a", "clip_name": "b"}\n["c"]\n', r"line 2: found \['c'\]"),
    "clip_name missing": (
        "msrvtt",
        '{"caption": "a", "clip_name": "b"}\n{"caption": "a"}\n',
        "line 2: found .*'clip_name'",
    ),
    "another corpus": ("msrvtt", COCO, "this one looks like coco_captions"),
    "not text": ("msrvtt", b"\x89PNG\r\n\xff\xfe", "byte 0.*expected UTF-8 text"),
    "answer no option": (
        "tgif_choice",
        TGIF_HEADER + TGIF_ROW.format(5, 1),
        "line 2, 'answer': found '5'; expected an option's index, 0 to 4",
    ),
    "answer a word": ("tgif_choice", TGIF_HEADER + TGIF_ROW.format("b", 1), "line 2, 'answer': found 'b'"),
    "question id twice": (
        "tgif_choice",
        TGIF_HEADER + TGIF_ROW.format(0, 1) * 2,
        "line 3: found 'A1'; expected each vid_id once",
    ),
    "header alone": ("tgif_choice", TGIF_HEADER, "whole file: found 'no record'"),
    "count a word": (
        "tgif_count",
        "gif_name\tquestion\tanswer\tvid_id\tkey\ng\tq\tmany\t1\t1\n",
        "line 2, 'answer': found 'many'; expected a whole number",
    ),
    "answer type unknown": (
        "tgif_frameqa",
        "gif_name\tquestion\tanswer\ttype\tvid_id\ng\tq\ta\t7\t1\n",
        "line 2, 'type': found '7'; expected 0 to 3",
    ),
    "array ends early": (
        "msrvtt_qa",
        json.dumps([QA, {**QA, "id": 2}])[:-9],
        "record 1: found .*expected a JSON record",
    ),
    "array of strings": ("msrvtt_qa", ["a"], "record 0: found 'a'; expected an object"),
    "array empty": ("msrvtt_qa", [], r"expected msrvtt_qa: a JSON array of objects with keys"),
    "qa id twice": ("msrvtt_qa", [QA, QA], "record 1: found 1; expected each id once"),
    "qa without question": (
        "msrvtt_qa",
        [QA, {"answer": "a", "video_id": 1, "id": 2}],
        "record 1: .*a key 'question'",
    ),
    "choice without key": (
        "msrvtt_choice",
        "vid_key\ta1\ta2\ta3\ta4\ta5\tanswer\n9770\ta\tb\tc\td\te\t0\n",
        "line 2: found '9770'; expected a vid_key such as 'msr9770'",
    ),
    "choice true": ("msrvtt_choice", json.dumps({**CHOICE, "answer": True}) + "\n", "'answer': found True"),
    "didemo description a list": (
        "didemo",
        [{**DIDEMO, "description": []}],
        r"record 0, 'description': found \[\]",
    ),
    "activitynet without sentences": (
        "activitynet",
        {"v_a": {"duration": 1}},
        "'v_a': found .*a key 'sentences'",
    ),
    "activitynet keys": (
        "activitynet",
        {"a": {"sentences": []}},
        r"line 1: found \['a'\]; expected activitynet: .*like v_",
    ),
    "image twice": (
        "coco_captions",
        {**COCO, "images": COCO["images"] * 2},
        r"images\[1\]: found 5; expected each image id once",
    ),
    "caption of no image": (
        "coco_captions",
        {**COCO, "images": []},
        r"annotations\[0\]: found 5; expected an id of 'images'",
    ),
    "region without phrase": (
        "visual_genome",
        [{"id": 1, "regions": [{"image_id": 1}]}],
        r"record 0, regions\[0\].*a key 'phrase'",
    ),
    "vqa question twice": (
        "vqa2",
        {**VQA, "questions": [QUESTION] * 2},
        r"questions\[1\]: found 1; expected each question_id",
    ),
    "not text further on": (
        "msrvtt",
        b'{"caption": "a", "clip_name": "b"}\n' * 3000 + b'{"caption": "caf\xe9"}\n',
        r"line 3001, byte 16: found b'\\xe9.*expected UTF-8 text",
    ),
    "still packed": ("msrvtt", gzip.compress(json.dumps(MSRVTT).encode()), "unpack the gzip archive first"),
    "quote that does not end": (
        "tgif_choice",
        TGIF_HEADER + TGIF_ROW.format(0, 1) + TGIF_ROW.format(0, 2).replace("q ?", '"q ?'),
        "line 3: found .*10 columns",
    ),
    "answer a small raised two": (
        "tgif_count",
        "gif_name\tquestion\tanswer\ng\tq\t\u00b2\n",
        "line 2, 'answer': found '\u00b2'",
    ),
    "option a number": (
        "msrvtt_choice",
        json.dumps({**CHOICE, "options": ["a", 2]}),
        r"'options'\[1\]: found 2",
    ),
    "sentence null": (
        "activitynet",
        {"v_a": {"sentences": ["a", None]}},
        r"'v_a', 'sentences'\[1\]: found None",
    ),
    "questions no list": (
        "msrvtt_qa",
        {"video1": 5},
        "top level, 'video1': found 5; expected a value of type list",
    ),
    "label no number": (
        "vqa2",
        json.dumps({"question": "q", "image_id": 1, "labels": {"yes": "often"}}),
        "line 1, 'labels', 'yes': found 'often'; expected a value of type int or float",
    ),
    "vqa without subtype": (
        "vqa2",
        {"questions": [QUESTION]},
        "expected vqa2: a JSON object with keys questions, data_subtype",
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_malformed_file_is_named_with_place_found_and_expected(tmp_path, name):
    corpus, content, message = BROKEN[name]
    with pytest.raises(AnnotationError, match=message) as raised:
        list(read_annotations(write(tmp_path / "broken", content), corpus))
    assert str(tmp_path / "broken") in str(raised.value)


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


def test_tgif_tables_are_tab_separated_whatever_their_name_and_may_quote(tmp_path):
    path = write(tmp_path / "t.csv", TGIF_HEADER + TGIF_ROW.format(3, 1).replace("q ?", '"he says ""hi"" "'))
    (record,) = read_annotations(path, "tgif_choice")
    assert (record.media_key, record.text, record.answer, record.text_id) == ("g", 'he says "hi"', 3, "A1")
    path = write(
        tmp_path / "f.csv",
        "gif_name\tquestion\tanswer\ttype\tvid_id\tkey\tdescription\r\ng\tq\tred\t2\tF1\t1\td\r\n",
    )
    (record,) = read_annotations(path, "tgif_frameqa")
    assert (record.answer, record.answer_type) == ("red", "color")


def test_paragraphs_are_joined_in_file_order_from_rows_that_are_not_adjacent(tmp_path):
    rows = [
        {**DIDEMO, "description": "one"},
        {**DIDEMO, "video": "b.", "description": "x"},
        {**DIDEMO, "description": "two "},
    ]
    assert [(r.media_key, r.text) for r in read_annotations(write(tmp_path / "d.json", rows), "didemo")] == [
        ("a", "one two"),
        ("b", "x"),
    ]
    path = write(
        tmp_path / "a.json",
        {"v_x": {"duration": 9, "timestamps": [[3, 4], [0, 99]], "sentences": [" a\n b.", "c."]}},
    )
    assert [(r.media_key, r.text) for r in read_annotations(path, "activitynet")] == [("v_x", "a b. c.")]


def test_tables_may_hold_newlines_tabs_blank_rows_and_a_byte_order_mark(tmp_path):
    quoted = '"one\r\ntwo\tthree ""four"""'
    rows = [
        TGIF_ROW.format(0, 1).replace("q ?", quoted),
        "\t" * 9 + "\r\n",
        "\r\n",
        TGIF_ROW.format(1, 2).rstrip(),
    ]
    path = write(tmp_path / "t.csv", b"\xef\xbb\xbf\r\n" + (TGIF_HEADER + "".join(rows)).encode())
    assert [(r.text, r.answer, r.text_id) for r in read_annotations(path, "tgif_choice")] == [
        ('one two three "four"', 0, "A1"),
        ("q ?", 1, "A2"),
    ]
    # Lines are those of the file, whatever a quoted field holds.
    path = write(tmp_path / "b.csv", TGIF_HEADER + rows[0] + "g\tq\r\n")
    with pytest.raises(AnnotationError, match="line 4: found .*10 columns"):
        list(read_annotations(path, "tgif_choice"))


def test_didemo_names_lose_one_ending_and_any_number_of_annotators_is_right(tmp_path):
    names = ["1@N00_1_a.mov", "1@N00_1_b.", "1@N00_1_c.3gp", "1@N00_1_d.MPG.mp4", "1@N00_1_e"]
    rows = [
        {**DIDEMO, "video": name, "times": [[0, 1]] * (4 + number % 4), "download_link": ""}
        for number, name in enumerate(names)
    ]
    assert [r.media_key for r in read_annotations(write(tmp_path / "d.json", rows), "didemo")] == [
        "1@N00_1_a",
        "1@N00_1_b",
        "1@N00_1_c",
        "1@N00_1_d.MPG",
        "1@N00_1_e",
    ]


def test_empty_sentences_leave_no_double_blanks(tmp_path):
    path = write(
        tmp_path / "a.json", {"v_x": {"sentences": ["", " a ", "\n", "b"]}, "v_y": {"sentences": []}}
    )
    assert [r.text for r in read_annotations(path, "activitynet")] == ["a b", ""]
    path = write(tmp_path / "d.json", [{**DIDEMO, "description": text} for text in ("a", " ", "b")])
    assert [r.text for r in read_annotations(path, "didemo")] == ["a b"]


def test_regions_are_records_of_their_image_and_empty_phrases_pass(tmp_path):
    entry = {
        "id": 7,
        "regions": [{"region_id": 1, "image_id": 7, "phrase": "a cat"}, {"id": 2, "image": 7, "phrase": " "}],
    }
    assert [
        (r.media_key, r.text, r.text_id)
        for r in read_annotations(write(tmp_path / "v.json", [entry]), "visual_genome")
    ] == [("7", "a cat", "1")]


def test_vqa_answers_are_normalised_scored_and_missing_ones_left_out(tmp_path, caplog):
    answers = ["Two.", "2", "two", "a dog", "the dog", "dog", "Dog!", "dont", "x,y", "1,000"]
    annotation = {
        "question_id": 1,
        "answer_type": "other",
        "answers": [{"answer": answer} for answer in answers],
    }
    questions = write(tmp_path / "q.json", {**VQA, "questions": [QUESTION, {**QUESTION, "question_id": 9}]})
    (record,) = read_annotations(
        questions, "vqa2", companion=write(tmp_path / "a.json", {"annotations": [annotation]})
    )
    assert record.media_key == "COCO_val2014_000000000002" and "1 of 2 questions" in caplog.text
    assert dict(record.soft_answers) == pytest.approx(
        {"2": 0.9, "dog": 1.0, "don't": 0.3, "x y": 0.3, "1000": 0.3}
    )
    lines = write(
        tmp_path / "l.jsonl",
        json.dumps({"question": "q", "image_id": "i", "question_id": 1, "labels": {"yes": 1.0}}),
    )
    assert next(read_annotations(lines, "vqa2")).soft_answers == (("yes", 1.0),)


def test_an_unknown_split_names_those_there_are(tmp_path):
    with pytest.raises(
        AnnotationError, match=r"found \['test', 'train', 'val'\]; expected a split of \['dev'\]"
    ):
        list(read_annotations(write(tmp_path / "a.json", MSRVTT), "msrvtt", ["dev"]))


#: Question files whose answers are in another one.
COMPANIONS = {
    "vqa_v2/questions.json": "vqa_v2/annotations.json",
    "vqa_v2/val2014_sample/v2_OpenEnded_mscoco_val2014_questions.sample.json": "vqa_v2/val2014_sample/v2_mscoco_val2014_annotations.sample.json",
}


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the folder of real annotation files is not beside this checkout"
)
@pytest.mark.parametrize(
    "name, corpus, rows, media, first, last",
    [
        ("msrvtt/MSRVTT_JSFUSION_test.csv", "msrvtt", 1000, 1000, "video9770", "ret999"),
        ("msrvtt/variants/MSRVTT_JSFUSION_test.semicolon.head20.csv", "msrvtt", 20, 20, "video9770", "ret19"),
        ("msrvtt/reconstructed/MSRVTT_data.subset120.json", "msrvtt", 2400, 120, "video6968", "143899"),
        (
            "msrvtt/reconstructed/train_val_videodatainfo.subset60val.json",
            "msrvtt",
            1200,
            60,
            "video6968",
            "16719",
        ),
        ("msrvtt/reconstructed/MSR_MC_test.2rows.csv", "msrvtt_choice", 2, 2, "video9770", "mc1"),
        ("msrvtt_qa/reconstructed/val_qa.json", "msrvtt_qa", 12278, 497, "video6513", "170858"),
        (
            "msrvtt_qa/videoid_2_question_answer_msrvtt_val.json",
            "msrvtt_qa",
            12278,
            497,
            "video6513",
            "video7009-42",
        ),
        ("activitynet_captions/val_1.json", "activitynet", 4917, 4917, "v_uqiMw7tQ1Cc", "v_5nOc03oiFvk"),
        (
            "didemo/val_data.json",
            "didemo",
            1065,
            1065,
            "35034348999@N01_6060447507_dc1a90b8ef",
            "28517796@N06_7705157670_bdc7ee1aa2",
        ),
        ("clipbert_jsonl/msrvtt_mc/msrvtt_multi_choice_qa.jsonl", "msrvtt_choice", 2, 2, "video9770", "mc1"),
        ("clipbert_jsonl/msrvtt_ret/test.jsonl", "msrvtt", 1000, 1000, "video9770", "ret999"),
        ("clipbert_jsonl/msrvtt_ret/train_single.jsonl", "msrvtt", 7010, 7010, "video2960", "7009"),
        ("clipbert_jsonl/msrvtt_ret/val.jsonl", "msrvtt", 1000, 1000, "video7310", "val_ret999"),
        ("clipbert_jsonl/msvd_qa_alpro/val.jsonl", "msrvtt_qa", 6415, 245, "bQJQGoJF7_k_162_169", "37347"),
        (
            "clipbert_jsonl/reconstructed/msrvtt_qa_val.head300.jsonl",
            "msrvtt_qa",
            300,
            13,
            "video6513",
            "line 300",
        ),
        (
            "clipbert_jsonl/reconstructed/tgif_action_test.head200.jsonl",
            "tgif_choice",
            200,
            200,
            "tumblr_nk172bbdPI1u1lr18o1_250",
            "line 200",
        ),
        (
            "clipbert_jsonl/reconstructed/tgif_transition_test.head200.jsonl",
            "tgif_choice",
            200,
            100,
            "tumblr_n9y2jhq01L1rts5xfo1_250",
            "line 200",
        ),
        (
            "clipbert_jsonl/reconstructed/tgif_frameqa_test.head200.jsonl",
            "tgif_frameqa",
            200,
            198,
            "tumblr_no73q2fm0I1uuf348o1_250",
            "line 200",
        ),
        ("coco_captions/captions_val2017.json", "coco_captions", 25014, 5000, "000000179765", "826793"),
        (
            "coco_captions/reconstructed/captions_val2014.subset60.json",
            "coco_captions",
            300,
            60,
            "COCO_val2014_000000446522",
            "825720",
        ),
        (
            "coco_captions/reconstructed/dataset_coco.subset61.json",
            "coco_captions",
            305,
            61,
            "COCO_val2014_000000391895",
            "380741",
        ),
        (
            "tgif_qa/Test_action_question.csv",
            "tgif_choice",
            2274,
            2274,
            "tumblr_nk172bbdPI1u1lr18o1_250",
            "ACTION22738",
        ),
        (
            "tgif_qa/Test_frameqa_question.csv",
            "tgif_frameqa",
            13691,
            7132,
            "tumblr_no73q2fm0I1uuf348o1_250",
            "FRAMEQA42177",
        ),
        ("visual_genome/region_descriptions.sample.json", "visual_genome", 4, 1, "1", "1936"),
        (
            "vqa_v2/val2014_sample/v2_OpenEnded_mscoco_val2014_questions.sample.json",
            "vqa2",
            1,
            1,
            "COCO_val2014_000000262148",
            "262148000",
        ),
        ("vqa_v2/questions.json", "vqa2", 3, 1, "COCO_train2014_000000458752", "458752002"),
    ],
)
def test_real_files_parse_whole(name, corpus, rows, media, first, last):
    companion = REAL / COMPANIONS[name] if name in COMPANIONS else None
    records = list(read_annotations(REAL / name, corpus, companion=companion))
    assert (len(records), len({r.media_key for r in records})) == (rows, media)
    assert (records[0].media_key, records[-1].text_id) == (first, last)


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the folder of real annotation files is not beside this checkout"
)
def test_the_real_9k_list_has_9000_keys():
    assert len(read_keys(REAL / "msrvtt/MSRVTT_train.9k.csv")) == 9000
