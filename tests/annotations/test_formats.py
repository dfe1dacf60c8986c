"""The format of a file is found by its content; a malformed file is named with place, found and expected."""

import gzip
import json

import pytest

from clipbert_mmf.annotations import AnnotationError, read_annotations, read_keys
from tests.annotations.owner_files import MSRVTT, video, write
from tests.real_data import REAL_DATA

REAL = REAL_DATA / "annotations"


TGIF_HEADER = "gif_name\tquestion\ta1\ta2\ta3\ta4\ta5\tanswer\tvid_id\tkey\r\n"


TGIF_ROW = "g\tq ?\ta\tb\tc\td\te\t{}\tA{}\t1\r\n"


COCO = {
    "images": [{"id": 5, "file_name": "5.jpg"}],
    "annotations": [{"image_id": 5, "id": 1, "caption": "a"}],
}


QUESTION = {"question_id": 1, "image_id": 2, "question": "is it ?"}


VQA = {"data_subtype": "val2014", "questions": [QUESTION]}


QA = {"answer": "a", "id": 1, "question": "what ?", "video_id": 3, "category_id": 0}


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
    "quote that may be a letter": (
        "tgif_count",
        'gif_name\tquestion\tanswer\ng\t"q\t1\nh\tp\t2\ni\tr"\t3\n',
        "line 2: found .*closed on its line",
    ),
    "options where counts are read": (
        "tgif_count",
        TGIF_HEADER + TGIF_ROW.format(0, 1),
        r"\(this one looks like tgif_choice\)",
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


#: Question files whose answers are in another one.
COMPANIONS = {
    "vqa_v2/questions.json": "vqa_v2/annotations.json",
    "vqa_v2/val2014_sample/v2_OpenEnded_mscoco_val2014_questions.sample.json": (
        "vqa_v2/val2014_sample/v2_mscoco_val2014_annotations.sample.json"
    ),
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


@pytest.mark.parametrize(
    "content",
    [
        "a/1.mp4\nb.mp4\n",
        "video_id\na/1.mp4\nb.mp4\n",
        "clip\na/1.mp4\nb.mp4\n",
        "split;file_name\ntrain;a/1.mp4\ntest;b.mp4\n",
        '["a/1.mp4", "b.mp4"]',
        '[{"video_id": "a/1.mp4"}, {"video_id": "b.mp4"}]',
        '{"video": "a/1.mp4", "x": 1}\n{"video": "b.mp4", "x": 2}\n',
    ],
)
def test_a_list_of_media_is_read_in_every_form(tmp_path, content):
    assert read_keys(write(tmp_path / "keys", content)) == {"a/1.mp4", "b.mp4"}


def test_a_name_of_a_list_may_hold_commas_and_ids_may_be_numbers(tmp_path):
    assert read_keys(write(tmp_path / "keys", "a, b.mp4\nc.mp4\n")) == {"a, b.mp4", "c.mp4"}
    assert read_keys(write(tmp_path / "keys", '[{"image_id": 7, "coco_id": 9}, {"image_id": 8}]')) == {
        "7",
        "8",
    }


@pytest.mark.parametrize(
    "content", ["split,note\ntrain,x\n", '[{"x": 1}]', '["a", {"video": "b"}]', "clip,path\na,b\n"]
)
def test_a_list_without_a_column_of_media_is_an_error(tmp_path, content):
    with pytest.raises(AnnotationError, match="medi"):
        read_keys(write(tmp_path / "keys", content))
