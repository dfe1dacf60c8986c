"""``clipbert score``: a line for each text, or JSON with probabilities, scores and clips."""

import re

import pytest
import torch

from clipbert_mmf.paths import project_dir
from tests.parity.released_format import make_state

TEXTS = ("a red circle", "two dogs near a man", "blue")


def test_texts_are_listed_with_the_best_first(run_verb, read_json, run_of, clip_folder):
    command = ("score", "--model", run_of("match"), clip_folder / "a.mp4", *TEXTS)
    code, out, _ = run_verb(*command)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3
    assert all(re.fullmatch(r" *\d+\.\d%  \D+", line) for line in lines)
    found = read_json(*command)
    order = sorted(range(3), key=lambda n: -found["scores"][n])
    assert lines == [f"{found['probabilities'][n]:7.1%}  {TEXTS[n]}" for n in order]


def test_json_holds_the_texts_in_the_given_order_and_the_clips(read_json, run_of, clip_folder):
    found = read_json("score", "--model", run_of("match"), clip_folder / "a.mp4", *TEXTS)
    assert set(found) == {"texts", "probabilities", "scores", "clips"} and found["texts"] == list(TEXTS)
    assert all(0 < value < 1 for value in found["probabilities"])
    assert len(found["clips"]) == 3
    for clip in found["clips"]:
        assert set(clip) == {"start_sec", "end_sec", "scores"} and len(clip["scores"]) == 3


@pytest.mark.parametrize("head", ["classify", "choose", "regress"])
def test_a_head_that_scores_nothing_is_named_with_those_that_do(run_verb, run_of, clip_folder, head):
    code, out, error = run_verb("score", "--model", run_of(head), clip_folder / "a.mp4", "a red circle")
    assert (code, out) == (1, "")
    assert error.startswith(f"clipbert score: this model's head is '{head}'") and "match" in error
    assert len(error.splitlines()) == 1


def test_a_video_that_is_missing_or_no_video_is_named(run_verb, run_of, clip_folder, tmp_path):
    code, _, error = run_verb("score", "--model", run_of("match"), clip_folder / "none.mp4", "blue")
    assert code == 1 and f"no file {clip_folder / 'none.mp4'}" in error
    code, _, error = run_verb("score", "--model", clip_folder, clip_folder, "blue")
    assert code == 1 and "it is a folder; name one video in it" in error  # before the model is loaded
    (tmp_path / "text.mp4").write_bytes(b"no video at all" * 20)
    code, _, error = run_verb("score", "--model", run_of("match"), tmp_path / "text.mp4", "blue")
    assert code == 1 and "cannot be opened as a video" in error and len(error.splitlines()) == 1


def test_a_released_file_alone_scores_with_the_yaml_of_its_project(
    run_verb, clip_folder, tokenizer_dir, tmp_path
):
    torch.save(make_state(4, 16, 2, 400, 32, "match"), tmp_path / "model_step_1.pt")
    file = tmp_path / "small.yaml"
    base = project_dir() / "clipbert" / "configs" / "msrvtt_retrieval" / "defaults.yaml"
    sizes = "{hidden_size: 16, num_layers: 2, num_heads: 4, intermediate_size: 64, vocab_size: 400, max_positions: 32}"
    file.write_text(
        f"includes: ['{base}']\nmodel_config: {{clipbert: {{backbone: {{width: 4}}, transformer: {sizes}}}}}\n",
        encoding="utf-8",
    )
    command = (
        "score",
        "--model",
        tmp_path / "model_step_1.pt",
        "--config",
        file,
        "--dataset",
        "msrvtt_retrieval",
    )
    code, out, error = run_verb(*command, "--tokenizer", tokenizer_dir, clip_folder / "a.mp4", *TEXTS)
    assert code == 0, error
    assert len(out.splitlines()) == 3
