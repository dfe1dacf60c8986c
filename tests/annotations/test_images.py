"""COCO, Visual Genome and VQA, the owners' files and ClipBERT's lines."""

import json

import pytest

from clipbert_mmf.annotations import read_annotations
from tests.annotations.owner_files import write

QUESTION = {"question_id": 1, "image_id": 2, "question": "is it ?"}


VQA = {"data_subtype": "val2014", "questions": [QUESTION]}


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


def test_images_in_folders_keep_their_folders(tmp_path):
    names = ["a/1.jpg", "b/1.jpg"]
    coco = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [{"image_id": number, "id": number, "caption": "a dog"} for number in range(2)],
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(coco))
    assert [record.media_key for record in read_annotations(path, "coco_captions")] == ["a/1", "b/1"]
