"""Owners' formats and ClipBERT's jsonl, right and wrong ones."""

import json
from pathlib import Path

import pytest

from clipbert_mmf.datasets.annotations import AnnotationError, read_annotations, read_keys

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "realdata" / "annotations"


def video(number, split="train"):
    return {"category": 1, "url": "", "video_id": f"video{number}", "start time": 0.0, "end time": 1.0, "split": split,
            "id": number}


MSRVTT = {
    "info": {}, "videos": [video(0), video(1, "validate"), video(2, "test")],
    "sentences": [
        {"caption": " a  cat\n", "video_id": "video2", "sen_id": 7}, {"caption": "ein Hünd", "video_id": "video0", "sen_id": 8},
        {"caption": "a dog", "video_id": "video1", "sen_id": 9},
    ],
}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_msrvtt_json_gives_captions_of_the_wanted_splits_in_file_order(tmp_path):
    path = write(tmp_path / "a.json", MSRVTT)
    assert [(r.media_key, r.text, r.text_id) for r in read_annotations(path, "msrvtt", ["train", "val"])] == [
        ("video0", "ein Hünd", "8"), ("video1", "a dog", "9")
    ]
    assert [r.text for r in read_annotations(path, "msrvtt")] == ["a cat", "ein Hünd", "a dog"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_msrvtt_test_csv_with_any_separator_and_quotes(tmp_path, separator):
    rows = [["key", "vid_key", "video_id", "sentence"], ["ret0", "msr1", "video1", '"say ""hi"" again"'],
            ["ret1", "msr2", "video2", "same"], ["ret2", "msr3", "video3", "same"]]
    path = write(tmp_path / "t.csv", "\r\n".join(separator.join(row) for row in rows))
    records = list(read_annotations(path, "msrvtt"))
    assert [r.text_id for r in records] == ["ret0", "ret1", "ret2"]
    assert records[0].text == 'say "hi" again'


def test_clipbert_jsonl_without_a_final_newline(tmp_path):
    path = write(tmp_path / "r.jsonl", '{"caption": "x y", "clip_name": "video7", "sen_id": 3, "extra": 1}\n'
                                       '{"caption": ["one.", "two."], "clip_name": "v_8", "retrieval_key": "ret4"}')
    assert [(r.media_key, r.text, r.text_id) for r in read_annotations(path, "msrvtt")] == [
        ("video7", "x y", "3"), ("v_8", "one. two.", "ret4")
    ]


def test_coco_captions_karpathy_and_jsonl(tmp_path):
    coco = {"images": [{"id": 5, "file_name": "COCO_val2014_000000000005.jpg"}],
            "annotations": [{"image_id": 5, "id": 1, "caption": "a b \n"}]}
    assert [(r.media_key, r.text) for r in read_annotations(write(tmp_path / "c.json", coco), "coco_captions")] == [
        ("COCO_val2014_000000000005", "a b")
    ]
    karpathy = {"dataset": "coco", "images": [
        {"filename": f"{split}.jpg", "split": split, "sentences": [{"raw": split, "sentid": 1}]}
        for split in ("train", "restval", "val")
    ]}
    path = write(tmp_path / "k.json", karpathy)
    assert [r.text for r in read_annotations(path, "coco_captions", ["train"])] == ["train", "restval"]
    path = write(tmp_path / "p.jsonl", '{"coco_id": 12, "caption": "c"}\n{"vg_id": 13, "caption": "d"}\n')
    assert [r.media_key for r in read_annotations(path, "coco_captions")] == ["12", "13"]


BROKEN = {
    "empty": ("", "the file is empty"),
    "truncated json": (json.dumps(MSRVTT)[:-40], r"line 1, column \d+: found .*expected JSON"),
    "no sentences": ({"videos": [video(0)], "info": {}}, "expected one of"),
    "unknown video": ({**MSRVTT, "sentences": [{"caption": "a", "video_id": "video9", "sen_id": 1}]},
                      r"sentences\[0\]: found 'video9'; expected a video_id of 'videos'"),
    "twice the same video": ({**MSRVTT, "videos": [video(0), video(0)]}, r"videos\[1\]: found 'video0'; expected each"),
    "caption missing": ({**MSRVTT, "sentences": [{"video_id": "video0", "sen_id": 1}]}, r"sentences\[0\].*a key 'caption'"),
    "caption a number": ({**MSRVTT, "sentences": [{"caption": 3, "video_id": "video0", "sen_id": 1}]},
                         r"sentences\[0\], 'caption': found 3; expected a value of type str"),
    "videos no list": ({**MSRVTT, "videos": {}}, "'videos': found {}; expected a value of type list"),
    "column missing": ("key,vid_key,sentence\nr,m,s\n", r"line 1: found .*\['video_id'\] missing"),
    "row too short": ("key,vid_key,video_id,sentence\nret0,msr0,video0,s\nret1,msr1\n", "line 3.*4 columns"),
    "key twice": ("key,vid_key,video_id,sentence\nr,m,v,s\nr,m,v,s\n", "line 3: found 'r'; expected each key once"),
    "jsonl line broken": ('{"caption": "a", "clip_name": "b"}\n{"caption": \n', "line 2: found .*JSON object"),
    "clip_name missing": ('{"caption": "a", "clip_name": "b"}\n{"caption": "a"}\n', "line 2: found .*'clip_name'"),
    "another corpus": ({"images": [], "annotations": []}, r"found \['annotations', 'images'\]; expected one of"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_malformed_file_is_named_with_place_found_and_expected(tmp_path, name):
    content, message = BROKEN[name]
    with pytest.raises(AnnotationError, match=message) as raised:
        list(read_annotations(write(tmp_path / "broken", content), "msrvtt"))
    assert str(tmp_path / "broken") in str(raised.value)


def test_an_unknown_split_names_those_there_are(tmp_path):
    with pytest.raises(AnnotationError, match=r"found \['test', 'train', 'val'\]; expected a split of \['dev'\]"):
        list(read_annotations(write(tmp_path / "a.json", MSRVTT), "msrvtt", ["dev"]))


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real annotation files is not beside this checkout")
@pytest.mark.parametrize(
    "name, corpus, rows, media, first, last",
    [
        ("msrvtt/MSRVTT_JSFUSION_test.csv", "msrvtt", 1000, 1000, "video9770", "ret999"),
        ("msrvtt/variants/MSRVTT_JSFUSION_test.semicolon.head20.csv", "msrvtt", 20, 20, "video9770", "ret19"),
        ("msrvtt/reconstructed/MSRVTT_data.subset120.json", "msrvtt", 2400, 120, "video6968", "143899"),
        ("msrvtt/reconstructed/train_val_videodatainfo.subset60val.json", "msrvtt", 1200, 60, "video6968", "16719"),
        ("coco_captions/captions_val2017.json", "coco_captions", 25014, 5000, "000000179765", "826793"),
    ],
)
def test_real_files_parse_whole(name, corpus, rows, media, first, last):
    records = list(read_annotations(REAL / name, corpus))
    assert (len(records), len({r.media_key for r in records})) == (rows, media)
    assert (records[0].media_key, records[-1].text_id) == (first, last)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real annotation files is not beside this checkout")
def test_the_real_9k_list_has_9000_keys():
    assert len(read_keys(REAL / "msrvtt/MSRVTT_train.9k.csv")) == 9000
