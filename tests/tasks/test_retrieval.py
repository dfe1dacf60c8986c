"""Captions are trained with negatives and evaluated against every video."""

import pytest

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.plugin.processors import ClipBertTextProcessor
from tests.tasks.making import RECORDS, make, rng


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


def test_a_video_without_a_negative_is_an_error_before_training(encoder):
    long = "a red circle near a red circle near a red circle near a"
    records = [TextRecord("a", f"{long} star", "0"), TextRecord("b", f"{long} square", "1")]
    with pytest.raises(ValueError, match="no negative text for 'a'.*'a red circle"):
        make("retrieval", False, encoder, records).check_texts()
    with pytest.raises(ValueError, match="no negative text for 'a'"):
        make("pretraining", False, encoder, records).check_texts()
    make("retrieval", False, encoder, records, negatives_per_positive=0).check_texts()
    # 'b' has all texts of the split, so it alone is without.
    records = [
        TextRecord("a", "a red star", "0"),
        TextRecord("b", "a red star", "1"),
        TextRecord("b", "a dog", "2"),
    ]
    with pytest.raises(ValueError, match="no negative text for 'b'"):
        make("retrieval", False, encoder, records).check_texts()
    make("retrieval", False, encoder, [*records, TextRecord("a", "a small dog", "3")]).check_texts()


def test_a_negative_differs_in_tokens_and_not_only_in_words(encoder):
    long = "a red circle near a red circle near a red circle near a"
    records = [
        TextRecord("a", f"{long} star", "0"),
        TextRecord("b", f"{long} square", "1"),
        TextRecord("c", "A RED STAR", "2"),
    ]
    maker = make("retrieval", False, encoder, records)
    for seed in range(20):
        texts = encoder.decode(maker.make(0, rng(seed))["input_ids"])
        assert texts[1] == "a red star"
    with pytest.raises(ValueError, match="no negative text for 'a'"):
        make("retrieval", False, encoder, records[:2]).make(0, rng())


def test_negatives_are_the_same_with_and_without_the_short_way(encoder, tokenizer_dir):
    words = [
        "a red circle",
        "A Red Circle!",
        "red",
        "круг",
        "звезда",
        "a red circle near a red circle near a star",
    ]
    records = [TextRecord(f"v{n}", text, str(n)) for n, text in enumerate(words)]
    short = make(
        "retrieval",
        False,
        ClipBertTextProcessor({"tokenizer": str(tokenizer_dir), "max_length": 12}),
        records,
    )
    full = make("retrieval", False, encoder, records)
    for item in range(len(words)):
        for seed in range(10):
            rows = [maker.make(item, rng(seed))["input_ids"].tolist() for maker in (short, full)]
            assert rows[0] == rows[1]


def test_evaluation_has_one_item_per_video_against_all_texts(encoder):
    maker = make("retrieval", True, encoder)
    assert len(maker) == 3
    assert maker.make(0, rng())["targets"].tolist() == [1, 0, 1, 0, 1]
    assert maker.make(1, rng())["input_ids"].shape == (5, 12)
