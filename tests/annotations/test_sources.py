"""From configured sources to records."""

import json

import pytest

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.annotations.sources import (
    AnnotationSource,
    draw_texts,
    find_file,
    load_sources,
    parse_sources,
)


@pytest.fixture()
def root(tmp_path):
    videos = [{"video_id": f"video{i}", "split": "test" if i > 2 else "train"} for i in range(6)]
    sentences = [{"video_id": f"video{i % 6}", "caption": f"caption {i}", "sen_id": i} for i in range(12)]
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "MSRVTT_data.json").write_text(
        json.dumps({"videos": videos, "sentences": sentences})
    )
    (tmp_path / "test.csv").write_text("key,vid_key,video_id,sentence\nret0,m,video4,hello\n")
    return tmp_path


def load(root, *sources):
    packed = load_sources(
        parse_sources(list(sources), "annotations.train"), root, "msrvtt", where="annotations.train"
    )
    return [packed[row] for row in range(len(packed))]


def test_a_file_is_found_by_its_name_at_any_depth(root):
    assert find_file(root, "MSRVTT_data.json", "x").parent.name == "annotation"


def test_two_files_of_a_name_or_none_are_errors(root):
    (root / "copy").mkdir()
    (root / "copy" / "MSRVTT_data.json").write_text("{}")
    with pytest.raises(
        FileNotFoundError, match="annotations.train is 'MSRVTT_data.json': 2 files have that name"
    ):
        find_file(root, "MSRVTT_data.json", "annotations.train")
    with pytest.raises(FileNotFoundError, match="'none.json': no such file below"):
        find_file(root, "none.json", "annotations.train")


def test_split_exclude_and_only_choose_videos(root):
    test = load(root, {"file": "MSRVTT_data.json", "split": ["test"], "exclude": "test.csv"})
    assert {record.media_key for record in test} == {"video3", "video5"}
    kept = load(root, {"file": "MSRVTT_data.json", "only": "test.csv"}, "test.csv")
    assert [record.text for record in kept] == ["caption 4", "caption 10", "hello"]


def test_drawn_texts_are_one_per_video_and_the_same_for_a_seed():
    records = [TextRecord(f"v{i % 10}", f"t{i}", str(i)) for i in range(40)]
    drawn = draw_texts(records, 4, seed=3)
    assert len({record.media_key for record in drawn}) == 4
    assert drawn == draw_texts(records, 4, seed=3) != draw_texts(records, 4, seed=4)
    assert len(draw_texts(records, 99, seed=0)) == 10


def test_unknown_keys_and_empty_choices_are_errors(root):
    with pytest.raises(
        ValueError, match=r"annotations\.train\[0\]\.splits is unknown \(did you mean 'split'"
    ):
        load(root, {"file": "test.csv", "splits": "x"})
    with pytest.raises(ValueError, match="has no record for"):
        load(root, {"file": "test.csv", "exclude": "test.csv"})


def test_shares_part_the_media_and_leave_nothing_out(root):
    parts = [load(root, {"file": "MSRVTT_data.json", "share": share}) for share in ([0, 0.5], [0.5, 1.0])]
    keys = [{record.media_key for record in part} for part in parts]
    assert not keys[0] & keys[1] and keys[0] | keys[1] == {f"video{i}" for i in range(6)}
    assert sum(map(len, parts)) == 12
    with pytest.raises(ValueError, match=r"annotations\.train\[0\]: share is \[1\.0, 0\.0\]; expected"):
        load(root, {"file": "MSRVTT_data.json", "share": [1, 0]})


def test_sources_of_several_corpora_are_one(root):
    (root / "coco.jsonl").write_text('{"coco_id": 7, "caption": "a cat"}')
    records = load(root, {"file": "test.csv"}, {"file": "coco.jsonl", "corpus": "coco_captions"})
    assert [record.media_key for record in records] == ["video4", "7"]
    with pytest.raises(ValueError, match=r"annotations.train\[0\].corpus is 'coco'; allowed are"):
        load(root, {"file": "coco.jsonl", "corpus": "coco"})


def test_answers_come_from_their_own_file(root):
    (root / "q.json").write_text(
        json.dumps(
            {
                "data_subtype": "val2014",
                "questions": [{"question_id": 1, "image_id": 3, "question": "is it ?"}],
            }
        )
    )
    (root / "a.json").write_text(
        json.dumps(
            {
                "annotations": [
                    {"question_id": 1, "answer_type": "yes/no", "answers": [{"answer": "Yes"}] * 10}
                ]
            }
        )
    )
    (record,) = load(root, {"file": "q.json", "corpus": "vqa2", "answers": "a.json"})
    assert record.soft_answers == (("yes", 1.0),) and record.answer_type == "yes/no"


def test_a_source_is_a_name_a_section_or_a_list_of_both():
    one = AnnotationSource("a.json", split=("train",))
    assert parse_sources({"file": "a.json", "split": "train"}, "x") == (one,)
    assert parse_sources("a.json", "x") == (AnnotationSource("a.json"),)
    assert parse_sources(["b.json", {"file": "a.json", "split": ["train"]}], "x") == (
        AnnotationSource("b.json"),
        one,
    )
