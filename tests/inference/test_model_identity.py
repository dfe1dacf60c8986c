"""A model has one hash wherever it lies, and another one after any change."""

import torch

from clipbert_mmf.inference.conversion import convert_weights
from clipbert_mmf.inference.model_identity import hash_model
from clipbert_mmf.inference.pretrained import ClipBert
from tests.inference.small_run import make_run


def test_a_run_its_converted_folder_and_any_decoder_are_one_model_and_a_changed_weight_is_another(
    tmp_path, tokenizer_dir
):
    make_run(tmp_path / "run", tokenizer_dir)
    model = ClipBert.from_pretrained(tmp_path / "run")
    digest = hash_model(model)
    converted = ClipBert.from_pretrained(convert_weights(tmp_path / "run", tmp_path / "model"))
    assert hash_model(converted) == digest
    assert hash_model(ClipBert.from_pretrained(tmp_path / "run", backend="torchcodec")) == digest
    with torch.no_grad():
        next(model.network.parameters()).add_(1)
    assert hash_model(model) != digest
