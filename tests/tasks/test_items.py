"""Items, texts and targets of each task, on a real tokenizer."""

import pytest

from clipbert_mmf.annotations.grouping import PackedRecords, group_by_segment
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.tasks import TASKS
from tests.tasks.making import RECORDS, make


def test_rows_of_a_medium_are_found_wherever_they_stand():
    groups = group_by_segment(PackedRecords.from_records(RECORDS))
    assert [groups.key(media) for media in range(3)] == ["b", "a", "c"]
    assert (
        groups.rows(0).tolist() == [0, 2, 4]
        and groups.find_segments("c") == [2]
        and groups.find_segments("d") == []
    )


def test_packed_records_come_back_as_they_went_in():
    full = TextRecord("é", "ü ?", "9", ("x", "y"), 1, "what", (("z", 0.3),), ("z",), (1.0, 2.5))
    packed = PackedRecords.from_records([*RECORDS, full])
    assert [packed[row] for row in range(6)] == [*RECORDS, full]


@pytest.mark.parametrize(
    "task, settings, message",
    [
        (
            "retrieval",
            {"negatives_per_positive": -1},
            "dataset_config.d: negatives_per_positive is -1; expected at least 0",
        ),
        ("pretraining", {"swap_probability": 2}, "dataset_config.d: swap_probability is 2; expected 0 to 1"),
        (
            "pretraining",
            {"mlm_probability": "often"},
            "dataset_config.d.mlm_probability is 'often'; expected a number",
        ),
        ("vqa", {"texts_per_item": 0}, "dataset_config.d: texts_per_item is 0; expected at least 1"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_key(encoder, task, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        make(task, False, encoder, answers={"red": 0}, **settings)


def test_texts_per_item_has_a_number_for_training_and_one_for_evaluation(encoder):
    packed = PackedRecords.from_records(RECORDS)
    section = {"texts_per_item": {"train": 2, "eval": 3}}
    for is_training, expected in ((True, 2), (False, 3)):
        maker = TASKS["open_ended"].make_items(
            packed, encoder, section, "d", is_training=is_training, answers={"red": 0}
        )
        assert maker.texts_per_item == expected
    with pytest.raises(ConfigurationError, match="d.texts_per_item is 4; expected a section with keys"):
        TASKS["open_ended"].make_items(
            packed, encoder, {"texts_per_item": 4}, "d", is_training=True, answers={"a": 0}
        )
