"""The description of a model: taken from a run, written, and read again."""

import pytest

from clipbert_mmf.inference.recipe import (
    choose_dataset,
    keep_one_head,
    parse_run_model,
    read_answers,
    read_recipe,
    recipe_of_run,
    write_recipe,
)
from clipbert_mmf.inference.settings import RecipeError
from tests.inference.small_run import run_config


def test_a_written_description_is_read_as_it_was(tmp_path, tokenizer_dir):
    recipe = recipe_of_run(run_config(tokenizer_dir), "x", "msrvtt_retrieval")
    (tmp_path / "saved").mkdir()
    write_recipe(recipe, tmp_path / "saved")
    found = read_recipe(tmp_path / "saved")
    assert (found.model, found.preprocessing, found.dataset) == (
        recipe.model,
        recipe.preprocessing,
        "msrvtt_retrieval",
    )
    assert "/secret" not in (tmp_path / "saved" / "config.json").read_text()


def test_of_several_datasets_one_must_be_named():
    config = {"datasets": "a,b", "dataset_config": {"a": {}, "b": {}}}
    assert choose_dataset(config, "x", "b") == "b"
    with pytest.raises(RecipeError, match="several datasets"):
        choose_dataset(config, "x")
    with pytest.raises(RecipeError, match="x has no dataset 'c'"):
        choose_dataset(config, "x", "c")


def test_a_run_of_version_0_1_is_told_in_a_sentence(tokenizer_dir):
    config = run_config(tokenizer_dir)
    config["model_config"]["clipbert"]["backbone"].pop("type", None)
    with pytest.raises(RecipeError, match=r"clipbert_mmf 0\.1, which this version does not read"):
        parse_run_model(config, "x")


def test_a_model_of_one_head_keeps_it(tokenizer_dir):
    model = parse_run_model(run_config(tokenizer_dir), "x")
    assert keep_one_head(model, "msrvtt_retrieval") == (model, None)


def test_answers_come_in_the_order_of_their_index(tmp_path):
    (tmp_path / "answers.json").write_text('{"red": 1, "blue": 0}')
    assert read_answers(tmp_path / "answers.json") == ("blue", "red")
