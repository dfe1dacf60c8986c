"""Items, texts and targets of each task, on a real tokenizer."""

import numpy as np
import pytest
import torch

from clipbert_mmf.annotations.grouping import PackedRecords, group_by_media
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.shapes import IGNORED_TOKEN, TokenBatch
from clipbert_mmf.tasks import TASKS


class Encoder:
    """The part of the text processor that makers use, on a tokenizer trained by the fixture."""

    def __init__(self, directory):
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(str(directory))
        self.vocab_size, self.mask_id = len(self.tokenizer), self.tokenizer.mask_token_id

    def __call__(self, texts):
        encoded = self.tokenizer(
            texts, padding="max_length", max_length=12, truncation=True, return_tensors="pt"
        )
        return TokenBatch(
            encoded["input_ids"], encoded["attention_mask"], torch.zeros_like(encoded["input_ids"])
        )

    def is_maskable(self, tokens):
        return ~torch.isin(tokens.input_ids, torch.tensor(self.tokenizer.all_special_ids))

    def decode(self, ids):
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in ids]


@pytest.fixture(scope="module")
def encoder(tokenizer_dir):
    return Encoder(tokenizer_dir)


RECORDS = [
    TextRecord("b", "a red circle", "0"),
    TextRecord("a", "a blue star", "1"),
    TextRecord("b", "a circle red", "2"),
    TextRecord("c", "two small square", "3"),
    TextRecord("b", "red circle", "4"),
]


def make(task, evaluation, encoder, records=RECORDS, answers=None, **settings):
    if "texts_per_item" in settings:
        settings["texts_per_item"] = dict.fromkeys(("train", "eval"), settings["texts_per_item"])
    packed = PackedRecords.from_records(records)
    return TASKS[task].make_items(
        packed, encoder, settings, "dataset_config.d", is_training=not evaluation, answers=answers
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def test_rows_of_a_medium_are_found_wherever_they_stand():
    groups = group_by_media(PackedRecords.from_records(RECORDS))
    assert [groups.key(media) for media in range(3)] == ["b", "a", "c"]
    assert groups.rows(0).tolist() == [0, 2, 4] and groups.find("c") == 2 and groups.find("d") is None


def test_packed_records_come_back_as_they_went_in():
    full = TextRecord("é", "ü ?", "9", ("x", "y"), 1, "what", (("z", 0.3),), ("z",), (1.0, 2.5))
    packed = PackedRecords.from_records([*RECORDS, full])
    assert [packed[row] for row in range(6)] == [*RECORDS, full]


def test_training_pairs_a_caption_with_captions_of_other_videos(encoder):
    maker = make("retrieval", False, encoder, negatives_per_positive=2)
    assert len(maker) == 5
    for item in range(5):
        fields = maker.make(item, rng(item))
        assert fields["targets"].tolist() == [1, 0, 0]
        texts, key = encoder.decode(fields["input_ids"]), maker.media_key(item)
        assert texts[0] in [record.text for record in RECORDS if record.media_key == key]
        assert not set(texts[1:]) & {record.text for record in RECORDS if record.media_key == key}


def test_every_caption_is_trained_on_once_an_epoch(encoder):
    maker = make("retrieval", False, encoder)
    positives = [encoder.decode(maker.make(item, rng())["input_ids"])[0] for item in range(len(maker))]
    assert sorted(positives) == sorted(record.text for record in RECORDS)


def test_one_video_with_no_other_cannot_be_matched(encoder):
    with pytest.raises(ValueError, match="no negative text for 'b'"):
        make("retrieval", False, encoder, RECORDS[:1]).make(0, rng())


def test_evaluation_has_one_item_per_video_against_all_texts(encoder):
    maker = make("retrieval", True, encoder)
    assert len(maker) == 3
    assert maker.make(0, rng())["targets"].tolist() == [1, 0, 1, 0, 1]
    assert maker.make(1, rng())["input_ids"].shape == (5, 12)


def test_pretraining_swaps_half_and_masks_all_texts(encoder):
    maker = make("pretraining", False, encoder, texts_per_item=2)
    fields = [maker.make(item % len(maker), rng(item)) for item in range(1000)]
    matches = torch.stack([field["targets"] for field in fields]).float()
    assert matches.mean().item() == pytest.approx(0.5, abs=0.05)
    labels = torch.stack([field["lm_label_ids"] for field in fields])
    assert (labels != IGNORED_TOKEN).any(-1)[matches == 0].any()


def test_the_same_generator_gives_the_same_item(encoder):
    maker = make("pretraining", False, encoder)
    first, again, other = (maker.make(0, rng(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_no_text_counts_twice_in_evaluation(encoder):
    maker = make(
        "open_ended",
        True,
        encoder,
        [TextRecord("a", f"what color {word}", word, answer=word) for word in ("red", "blue", "star")],
        {"red": 0, "blue": 1},
        texts_per_item=2,
    )
    fields = [maker.make(item, rng()) for item in range(len(maker))]
    assert torch.cat([field["text_index"] for field in fields]).tolist() == [0, 1, 2, -1]
    assert fields[0]["targets"].tolist() == [0, 1] and fields[1]["targets"].tolist()[0] == -1


def test_options_are_read_with_their_question(encoder):
    record = TextRecord("a", "what shape", "0", options=("circle", "star", "square"), answer=1)
    fields = make("multiple_choice", False, encoder, [record]).make(0, rng())
    assert encoder.decode(fields["input_ids"]) == [
        "what shape circle",
        "what shape star",
        "what shape square",
    ]
    assert fields["targets"].item() == 1


def test_soft_answers_and_counts_become_floats(encoder):
    soft = TextRecord("a", "what color", "0", soft_answers=(("red", 0.9), ("pink", 0.3)))
    targets = make("vqa", False, encoder, [soft], {"blue": 0, "red": 1}, texts_per_item=1).make(0, rng())[
        "targets"
    ]
    torch.testing.assert_close(targets, torch.tensor([[0.0, 0.9]]))
    assert (
        make("count", False, encoder, [TextRecord("a", "how many", "0", answer=3)]).make(0, rng())["targets"]
        == 3.0
    )


def test_classification_without_answers_is_an_error(encoder):
    with pytest.raises(ValueError, match="needs an answer vocabulary"):
        make("open_ended", False, encoder)


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
