"""Answer vocabularies: made, written, read back, and what is wrong with a file is named."""

import pytest

from clipbert_mmf.annotations import AnnotationError, TextRecord
from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.vocabulary import (
    build_vocabulary,
    count_answers,
    read_vocabulary,
    write_vocabulary,
)


def records_of(*answers):
    return PackedRecords.from_records(
        TextRecord("v", "q", str(i), answer=answer) for i, answer in enumerate(answers)
    )


def test_frequent_answers_come_first_and_equal_ones_in_alphabetical_order():
    counts = count_answers(records_of("b", "a", "c", "c"))
    assert build_vocabulary(counts) == {"c": 0, "a": 1, "b": 2}
    assert build_vocabulary(counts, num_answers=2) == {"c": 0, "a": 1}
    assert build_vocabulary(counts, min_count=2) == {"c": 0}
    with pytest.raises(ValueError, match="no answer occurs 9 times"):
        build_vocabulary(counts, min_count=9)


def test_of_ten_answers_the_best_scored_counts_and_unanswered_questions_do_not():
    soft = TextRecord("v", "q", "1", soft_answers=(("yes", 1.0), ("no", 0.3)))
    assert count_answers(PackedRecords.from_records([soft, TextRecord("v", "q", "2")])) == {"yes": 1}


def test_a_written_vocabulary_comes_back_and_lists_are_read_too(tmp_path):
    write_vocabulary(tmp_path / "run" / "a.json", {"é": 0, "b": 1})
    assert read_vocabulary(tmp_path / "run" / "a.json") == {"é": 0, "b": 1}
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["a.json"]
    (tmp_path / "l.json").write_text('["x", "y"]')
    assert read_vocabulary(tmp_path / "l.json") == {"x": 0, "y": 1}


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"a": 0, "b": 2}', r"indices: found \[0, 2\]; expected 0 to 1, each once"),
        ('{"a": 0, "b": 0}', "each once"),
        ('{"a": "x"}', r"indices: found \['x'\]"),
        ('{"yes": true, "no": false}', r"indices: found \[True, False\]"),
        ('{"a": 0.0, "b": 1.0}', r"indices: found \[0.0, 1.0\]"),
        ('["a", "b", "a"]', r"answers: found \['a'\]; expected each answer once"),
        ("{}", "expected an object"),
        ("3", "expected an object"),
        ('{"a": 0,', "line 1"),
    ],
)
def test_a_broken_vocabulary_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(AnnotationError, match=message):
        read_vocabulary(tmp_path / "a.json")


def test_packed_records_hold_every_field():
    record = TextRecord("v", "t", "i", ("a", "b"), 1, "what", (("x", 0.3),), ("x",), (0.0, 1.0))
    packed = PackedRecords.from_records([record, TextRecord("w", "u", "j")])
    assert [packed[0], packed[1]] == [record, TextRecord("w", "u", "j")]
    assert packed.segment_of_row.tolist() == [0, 1] and len(packed) == 2
