"""The model card: the numbers of the run, and no place of its machine."""

import json

from clipbert_mmf.inference.model_card import read_metrics, write_model_card
from clipbert_mmf.inference.recipe import recipe_of_run
from tests.inference.small_run import METRICS, run_config


def write_run(folder):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in METRICS))
    return folder


def test_the_card_holds_input_training_and_results(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir)
    recipe = recipe_of_run(config, "x", "msrvtt_retrieval")
    card = write_model_card(recipe, config, write_run(tmp_path), 20)
    assert card.startswith("---\nlibrary_name: clipbert_mmf\n") and "# ClipBERT, msrvtt_retrieval" in card
    for row in ("| batch_size | 16 |", "| optimizer | AdamW |", "| image_size | 64 |"):
        assert row in card
    assert "t2v_r1 | 0.125 |" in card and "/secret" not in card


def test_without_an_evaluation_the_card_says_so(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir)
    card = write_model_card(recipe_of_run(config, "x", "msrvtt_retrieval"), config, tmp_path, None)
    assert "`metrics.jsonl` is not there" in card


def test_the_metrics_are_those_of_the_checkpoint(tmp_path):
    run = write_run(tmp_path)
    early = read_metrics(run, 10)
    assert early["val"]["metrics"] == METRICS[1]["metrics"]
    assert read_metrics(tmp_path / "none", 10) == {}
