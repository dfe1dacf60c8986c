"""A released-format file of the real size: real names and shapes, every tensor used, the same grids and scores."""

import pytest
import torch

from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import Recipe, clean_model_settings
from clipbert_mmf.models.assembly import assemble_network
from clipbert_mmf.weights.loading import load_weights
from tests.inference.small_run import same_state
from tests.network_settings import read_settings
from tests.parity import released_format as released


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    state = released.make_state(64, 768, 12, 30522, 512, "match")
    # So wide a transformer hides its input behind regular weights; a seed is enough where both sides run here.
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if name.startswith("transformer.") and value.dim() == 2:
            value.normal_(0, 0.04, generator=generator)
    path = tmp_path_factory.mktemp("full") / "model_step_1.pt"
    torch.save(state, path)
    network = assemble_network(read_settings()).eval()
    report = load_weights(network, path, strict=True)
    path.unlink()
    return state, network, report


def test_every_tensor_of_a_full_size_released_file_is_used(pair):
    state, network, report = pair
    assert report.is_complete and len(report.used) == len(state) - 1
    assert set(report.unused.values()) == {"a table the released model never reads"}
    assert sum(parameter.numel() for parameter in network.parameters()) == 148_826_306 - 512 * 768


def test_grids_and_scores_of_the_full_size_model(pair):
    state, network, _ = pair
    frames = released.filled(1, 1, 1, 3, 128, 192, seed=3, spread=127, centre=127.5).to(torch.uint8)
    ids = torch.tensor([[[101, 2057, 2031, 29999, 102], [101, 7592, 102, 0, 0]]])
    mask = (ids > 0).long()
    with torch.no_grad():
        grids = released.encode_frames(state, frames.flatten(0, 2))
        _, pooled = released.encode_pairs(
            state, grids.unflatten(0, (1, 1)).repeat_interleave(2, 0), ids[0], mask[0], num_heads=12
        )
        expected = released.score_pooled(state, pooled)
        ours = network.grid_encoder(network.backbone(frames.flatten(0, 2)))
        scores = network(frames, ids, mask, torch.zeros_like(ids))["scores"]
    assert grids.std() > 0.05 and (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(ours, grids.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


def test_the_full_size_model_is_saved_and_comes_back_bit_for_bit(pair, tokenizer_dir, tmp_path):
    _, network, _ = pair
    preprocessing = Preprocessing("video", 448, 20, num_clips=16)
    recipe = Recipe(clean_model_settings(read_settings()), preprocessing, tokenizer=str(tokenizer_dir))
    ClipBert(network, recipe).save_pretrained(tmp_path)
    again = ClipBert.from_pretrained(tmp_path)
    assert same_state(again.network, network) and again.recipe.model == recipe.model
    assert (tmp_path / "model.safetensors").stat().st_size > 4 * 148_000_000
    (tmp_path / "model.safetensors").unlink()
