"""A run's checkpoint becomes files for others.

Complete or not there at all, with a card filled from the run.
"""

import pytest
import torch

from clipbert_mmf.inference.conversion import convert_weights
from clipbert_mmf.inference.model_card import read_metrics
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.export import ExportError, to_released_state
from clipbert_mmf.weights.loading import load_weights
from tests.inference.small_run import make_run, same_state
from tests.network_settings import small_config
from tests.parity import released_format as released


def test_a_folder_with_card(tmp_path, tokenizer_dir):
    network = make_run(tmp_path / "run", tokenizer_dir)
    out = convert_weights(tmp_path / "run", tmp_path / "deep" / "model")
    assert same_state(ClipBert.from_pretrained(out).network, network)
    card = (out / "README.md").read_text()
    for line in (
        "library_name: clipbert_mmf",
        "| max_updates | 20 |",
        "| lr | 5e-05 |",
        "| seed | 3 |",
        "| image_size | 64 |",
        "| checkpoint of update | 10 |",
        "| started from | clipbert: pretrained.pth |",
        "| annotation files | MSRVTT_data.json |",
        "Split `val`, after update 10",
        "| clipbert_retrieval/t2v_r1 | 0.25 |",
    ):
        assert line in card, line
    assert "/secret" not in card and "0.125" not in card, "the test was of another checkpoint"


def test_the_card_of_the_final_weights_has_the_final_numbers(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    card = (
        convert_weights(tmp_path / "run" / "clipbert_final.pth", tmp_path / "model") / "README.md"
    ).read_text()
    assert "| clipbert_retrieval/t2v_r1 | 0.5 |" in card and "| clipbert_retrieval/t2v_r1 | 0.125 |" in card
    again = convert_weights(tmp_path / "model", tmp_path / "copy")
    assert (again / "README.md").read_text() == card
    assert read_metrics(tmp_path / "none", 3) == {}


def test_nothing_is_replaced_unasked_and_a_failure_leaves_what_was_there(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    convert_weights(tmp_path / "run", tmp_path / "model")
    with pytest.raises(FileExistsError, match="model exists already"):
        convert_weights(tmp_path / "run", tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="no such directory or hub name"):
        convert_weights(
            tmp_path / "run", tmp_path / "model", replace=True, tokenizer=tmp_path / "nowhere" / "x"
        )
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run"]
    convert_weights(tmp_path / "run", tmp_path / "model", replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run"]
    with pytest.raises(ValueError, match=r"target is 'gguf'; allowed are \['folder', 'released', 'onnx'\]"):
        convert_weights(tmp_path / "run", tmp_path / "x", to="gguf")


@pytest.mark.parametrize("head", ["match", "choose", "regress", "pretrain", "classify"])
def test_a_released_state_dict_there_and_back(head, tmp_path, tokenizer_dir):
    changes = {"head": {"type": head, "num_answers": 5}}
    network = make_run(tmp_path / "run", tokenizer_dir, **changes)
    out = convert_weights(tmp_path / "run", tmp_path / "model_step_10.pt", to="released")
    again = build_network(small_config(transformer__vocab_size=400, **changes))
    report = load_weights(again, out, strict=True)
    assert report.format == "the released ClipBERT" and same_state(again, network)


def test_the_released_names_and_shapes_are_those_that_the_released_model_has(tmp_path):
    for head, outputs in (("match", 2), ("pretrain", 2)):
        wanted = released.make_state(4, 16, 2, 50, 24, head, outputs)
        ours = to_released_state(build_network(small_config(head={"type": head})))
        # The tables that nothing reads are as long as the text's positions.
        shapes = [{name: value.shape for name, value in state.items()} for state in (ours, wanted)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"backbone__norm": "group"}, "backbone.norm=frozen_batch or batch"),
        ({"backbone__stride_in_1x1": False}, "backbone.stride_in_1x1=true"),
        ({"backbone__bgr": False}, "backbone.bgr=true"),
        ({"backbone__pixel_std": [58.0, 57.0, 57.0]}, "backbone.pixel_std"),
        ({"grid_encoder": {"pool": False}}, "grid_encoder.pool=true"),
        ({"temporal_fusion": "conv3d"}, "the released ClipBERT has no place for temporal_fusion"),
    ],
)
def test_what_the_released_code_would_compute_otherwise_is_refused(changes, message):
    with pytest.raises(ExportError, match=message):
        to_released_state(build_network(small_config(**changes)))


def test_a_released_file_with_a_runs_configuration_becomes_a_folder(tmp_path, tokenizer_dir):
    network = make_run(tmp_path / "run", tokenizer_dir)
    torch.save(to_released_state(network), tmp_path / "model_step_1.pt")
    out = convert_weights(
        tmp_path / "model_step_1.pt", tmp_path / "model", config=tmp_path / "run" / "config.yaml"
    )
    assert same_state(ClipBert.from_pretrained(out).network, network)
