"""The reference of the configuration lists every key that a dataclass reads, with its description."""

from clipbert_mmf.models.config import DatasetHeadConfig
from tools.make_config_reference import list_parts, list_rows, read_attributes


def rows_of(heading: str) -> dict[str, tuple[str, str]]:
    (part,) = [part for part in list_parts() if part.heading == heading]
    return {key: (value, text) for key, value, text in list_rows(part)}


def test_keys_of_nested_sections_lists_and_types_are_listed():
    model, data = rows_of("The model"), rows_of("A dataset of videos")
    assert model["backbone.type"][0] == "grid_resnet" and model["transformer.num_heads"][0] == "12"
    assert model["heads.<dataset>.shares"][0] == "null" and "transformer" not in model
    assert {"annotations.<split>[].share_without_split", "answers.min_count", "batch_size"} <= set(data)
    assert {"negatives_per_positive", "texts_per_item.eval"} <= set(rows_of("The items of a task"))


def test_every_key_of_the_model_is_described_by_a_comment_or_its_field():
    assert [key for key, (_, text) in rows_of("The model").items() if not text] == []


def test_descriptions_come_from_the_docstring_and_its_bases():
    found = read_attributes(DatasetHeadConfig)
    assert found["shares"].startswith("Another dataset whose head is used; null")
    assert found["num_answers"].startswith("Number of outputs")
