"""Released-format files of the real size.

Real names and shapes, every tensor used, the same grids and scores.
"""

import pytest
import torch

from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import Recipe
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import ModelConfig, parse_model_config
from clipbert_mmf.video.clips import ClipOptions
from clipbert_mmf.weights.loading import load_weights
from tests.inference.small_run import same_state
from tests.parity import released_format as released

#: Head -> outputs: retrieval, VQA 2.0, TGIF-QA, pre-training.
HEADS = {"match": 2, "classify": 3129, "choose": 1, "pretrain": 2}
IDS = torch.tensor([[[101, 2057, 2031, 29999, 102], [101, 7592, 102, 0, 0]]])
MASK = (IDS > 0).long()


@pytest.fixture(scope="module")
def trunk():
    """Everything but a head, with the grids and pooled vectors of one frame and two texts."""
    state = released.make_state(64, 768, 12, 30522, 512, "match")
    # So wide a transformer hides its input behind regular weights; a seed is enough where both sides run
    # here.
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if name.startswith("transformer.") and value.dim() == 2:
            value.normal_(0, 0.04, generator=generator)
    frames = released.filled(1, 1, 1, 3, 128, 192, seed=3, spread=127, centre=127.5).to(torch.uint8)
    with torch.no_grad():
        grids = released.encode_frames(state, frames.flatten(0, 2))
        pairs = grids.unflatten(0, (1, 1)).repeat_interleave(2, 0)
        encoded = released.encode_pairs(state, pairs, IDS[0], MASK[0], num_heads=12)
    assert grids.std() > 0.05
    return {name: v for name, v in state.items() if ".classifier." not in name}, frames, grids, encoded


def add_head(trunk: dict, head: str) -> dict:
    small = released.make_state(1, 768, 0, 1, 1, head, HEADS[head])
    tensors = {name: value for name, value in small.items() if ".classifier." in name or ".cls." in name}
    if head == "pretrain":
        words = trunk["transformer.bert.embeddings.word_embeddings.weight"]
        bias = released.filled(len(words), seed=1, spread=0.2)
        tensors["transformer.cls.predictions.decoder.weight"] = words
        tensors["transformer.cls.predictions.bias"] = tensors["transformer.cls.predictions.decoder.bias"] = (
            bias
        )
    return {**trunk, **tensors}


def load(state: dict, head: str, path):
    torch.save(state, path)
    network = build_network(parse_model_config({"head": {"type": head, "num_answers": HEADS[head]}})).eval()
    report = load_weights(network, path, strict=True)
    path.unlink()
    return network, report


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_full_size_released_file_of_every_head(head, trunk, tmp_path):
    state, frames, grids, (rows, pooled) = trunk
    state = add_head(state, head)
    network, report = load(state, head, tmp_path / "model_step_1.pt")
    assert report.is_complete and len(report.used) + len(report.unused) == len(state)
    labels = torch.full_like(IDS, -100)
    labels[..., 2] = 3
    with torch.no_grad():
        ours = network.grid_encoder(network.backbone(frames.flatten(0, 2)))
        output = network(frames, IDS, MASK, torch.zeros_like(IDS), labels if head == "pretrain" else None)
        expected = released.score_pooled(state, pooled)
        words = released.score_words(state, rows[:, 2]) if head == "pretrain" else None
    assert (expected[0] - expected[1]).abs().max() > 1e-3, "the texts make a difference"
    torch.testing.assert_close(ours, grids.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output["scores"].reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)
    if words is not None:
        torch.testing.assert_close(output["mlm_scores"], words, rtol=1e-4, atol=1e-4)


def test_the_full_size_model_is_saved_and_comes_back_bit_for_bit(trunk, tokenizer_dir, tmp_path):
    network, _ = load(add_head(trunk[0], "match"), "match", tmp_path / "model_step_1.pt")
    assert sum(parameter.numel() for parameter in network.parameters()) == 148_826_306 - 512 * 768
    preprocessing = Preprocessing(ClipOptions(448, num_clips=16, sampling="uniform"), 20)
    recipe = Recipe(ModelConfig(), preprocessing, tokenizer=str(tokenizer_dir))
    ClipBert(network, recipe).save_pretrained(tmp_path)
    again = ClipBert.from_pretrained(tmp_path)
    assert same_state(again.network, network) and again.recipe.model == recipe.model
    assert (tmp_path / "model.safetensors").stat().st_size > 4 * 148_000_000
    (tmp_path / "model.safetensors").unlink()
