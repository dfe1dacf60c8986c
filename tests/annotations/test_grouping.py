"""Records in arrays come back whole, and those about one medium are found wherever they stand."""

import pickle

import numpy as np

from clipbert_mmf.annotations.grouping import PackedRecords, PackedStrings, group_by_media
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
        assert records.text(2) == "again" and records.media_of_row.tolist() == [0, 1, 0]


def test_plain_captions_store_nothing_beside_text_id_and_medium():
    packed = PackedRecords.from_records([TextRecord("a", "x", "1"), TextRecord("a", "y", "2")])
    assert packed._rest is None and packed[1] == TextRecord("a", "y", "2")
    assert len(PackedRecords.from_records([])) == 0


def test_rows_of_a_medium_are_found_in_order():
    groups = group_by_media(PackedRecords.from_records(RECORDS))
    assert len(groups) == 2 and groups.key(0) == "b" and groups.counts.tolist() == [2, 1]
    assert groups.rows(0).tolist() == [0, 2] and groups.rows(1).tolist() == [1]
    assert groups.find("a") == 1 and groups.find("c") is None


def test_strings_are_one_block():
    strings = PackedStrings(["", "ab", "ž"])
    assert [strings[index] for index in range(len(strings))] == ["", "ab", "ž"]
    assert isinstance(strings[np.int64(1)], str)
