"""MSVD-QA and ActivityNet-QA: names of videos, answers of a second file, and files that look alike."""

import pytest

from clipbert_mmf.annotations import AnnotationError, read_annotations
from tests.annotations.owner_files import write

MSVD = {"answer": "someone", "id": 0, "question": "who cuts ?", "video_id": 1}
QUESTION = {"video_name": "PLwTuSqTjmY", "question": "is it red ?", "question_id": "PLwTuSqTjmY_0"}


def test_the_mapping_names_the_videos_of_msvd(tmp_path):
    path = write(tmp_path / "q.json", [MSVD, {**MSVD, "id": 1, "video_id": 12, "question": "what ?"}])
    mapping = write(tmp_path / "youtube_mapping.txt", "-4wsuPCjDBc_5_15 vid1\nxyz_1_2 vid12\n")
    records = list(read_annotations(path, "msvd_qa", mapping=mapping))
    assert [(r.media_key, r.answer_type) for r in records] == [
        ("-4wsuPCjDBc_5_15", "who"),
        ("xyz_1_2", "what"),
    ]
    assert [r.media_key for r in read_annotations(path, "msvd_qa")] == ["vid1", "vid12"]
    with pytest.raises(
        AnnotationError, match="record 1, 'video_id': found 12; expected 'vid12' in the mapping"
    ):
        list(read_annotations(path, "msvd_qa", mapping=write(tmp_path / "m.txt", "a vid1\n")))
    with pytest.raises(AnnotationError, match="line 1: found 'vid1'"):
        list(read_annotations(path, "msvd_qa", mapping=write(tmp_path / "n.txt", "vid1\n")))


def test_the_files_of_msvd_and_msrvtt_are_told_apart(tmp_path):
    msvd = write(tmp_path / "a.json", [MSVD])
    msrvtt = write(tmp_path / "b.json", [{**MSVD, "category_id": 14}])
    with pytest.raises(AnnotationError, match="looks like msvd_qa"):
        list(read_annotations(msvd, "msrvtt_qa"))
    with pytest.raises(AnnotationError, match="looks like msrvtt_qa"):
        list(read_annotations(msrvtt, "msvd_qa"))


def test_answers_of_activitynet_stand_in_a_second_file(tmp_path):
    questions = write(tmp_path / "q.json", [QUESTION])
    answers = write(tmp_path / "a.json", [{"answer": "yes", "type": 3, "question_id": "PLwTuSqTjmY_0"}])
    (record,) = read_annotations(questions, "activitynet_qa", companion=answers)
    assert (record.media_key, record.answer, record.answer_type) == ("v_PLwTuSqTjmY", "yes", "yes/no")
    whole = write(tmp_path / "w.json", [{**QUESTION, "answer": "no", "type": 8}])
    (record,) = read_annotations(whole, "activitynet_qa")
    assert (record.answer, record.answer_type) == ("no", "other")
    with pytest.raises(AnnotationError, match="record 0: found 'PLwTuSqTjmY_0'; expected its answer"):
        list(read_annotations(questions, "activitynet_qa"))
