"""Records in arrays come back whole, and those about one medium are found wherever they stand."""

import math
import pickle

import numpy as np

from clipbert_mmf.annotations.grouping import PackedRecords, PackedStrings, group_by_segment
from clipbert_mmf.annotations.records import TextRecord

RECORDS = [
    TextRecord("b", "žluť \ud800", "1"),
    TextRecord("a", "", "2", options=("x", "y"), answer=1, window_sec=(0.5, 2.0)),
    TextRecord("b", "again", "3", soft_answers=(("yes", 0.3),), all_answers=("yes", "no")),
]


def test_packed_records_come_back_whole_also_through_a_pickle():
    packed = PackedRecords.from_records(iter(RECORDS))
    for records in (packed, pickle.loads(pickle.dumps(packed))):
        assert [records[row] for row in range(len(records))] == RECORDS
        assert records.text(2) == "again" and records.segment_of_row.tolist() == [0, 1, 0]


def test_plain_captions_store_nothing_beside_text_id_and_medium():
    packed = PackedRecords.from_records([TextRecord("a", "x", "1"), TextRecord("a", "y", "2")])
    assert packed._rest is None and packed[1] == TextRecord("a", "y", "2")
    assert len(PackedRecords.from_records([])) == 0


def test_rows_of_a_medium_are_found_in_order():
    groups = group_by_segment(PackedRecords.from_records(RECORDS))
    assert len(groups) == 2 and groups.key(0) == "b" and groups.counts.tolist() == [2, 1]
    assert groups.rows(0).tolist() == [0, 2] and groups.rows(1).tolist() == [1]
    assert groups.find_segments("a") == [1] and groups.find_segments("c") == []


def test_a_segment_is_a_medium_and_a_part_of_it():
    windows = [
        ("v", (0.0, 2.0)),
        ("v", (2.0, 4.0)),
        ("w", None),
        ("v", None),
        ("v", (0.0, 2.0)),
        ("v", (1.0, math.inf)),
    ]
    records = PackedRecords.from_records(
        TextRecord(key, f"t{n}", str(n), window_sec=window) for n, (key, window) in enumerate(windows)
    )
    groups = group_by_segment(records)
    assert [records[row].window_sec for row in range(6)] == [window for _, window in windows]
    assert (len(groups), groups.num_media) == (5, 2) and groups.rows(0).tolist() == [0, 4]
    assert [groups.window_sec(segment) for segment in (0, 2, 4)] == [(0.0, 2.0), None, (1.0, math.inf)]
    assert groups.find_segments("v") == [0, 1, 3, 4] and groups.find_segments("v", (2.0, 4.0)) == [1]
    assert (
        not groups.overlap(0, 1)
        and groups.overlap(0, 3)
        and groups.overlap(1, 4)
        and not groups.overlap(0, 2)
    )


def test_media_that_get_one_name_are_one_medium():
    records = PackedRecords.from_records(
        TextRecord(key, key, key) for key in ("b/1.mp4", "a/1", "b/1", "b\\1.mp4")
    )
    renamed = records.rename_media(lambda key: key.replace("\\", "/").removesuffix(".mp4"))
    assert renamed.segment_of_row.tolist() == [0, 1, 0, 0] and renamed[2].media_key == "b/1"
    assert renamed[3].text == "b\\1.mp4" and records.rename_media(str) is records


def test_strings_are_one_block():
    strings = PackedStrings(["", "ab", "ž"])
    assert [strings[index] for index in range(len(strings))] == ["", "ab", "ž"]
    assert isinstance(strings[np.int64(1)], str)
