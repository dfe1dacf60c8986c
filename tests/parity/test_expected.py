"""Our model and our pixels against tensors that were computed once without them (``make_expected``)."""

import pytest
import torch
from safetensors.torch import load_file

from clipbert_mmf.models.build import build_network
from clipbert_mmf.transforms.frames import resize_and_pad
from clipbert_mmf.weights.loading import load_weights
from tests.network_settings import small_config
from tests.parity import released_format as released
from tests.parity.make_expected import EXPECTED, FRAMES, HEADS, compute, make_frame, make_inputs


@pytest.fixture(scope="module")
def expected():
    return load_file(EXPECTED)


@pytest.mark.parametrize("head", sorted(HEADS))
def test_grids_pooled_vectors_and_scores_of_every_head(head, expected, tmp_path):
    torch.save(released.make_state(4, 16, 2, 50, 24, head, HEADS[head]), tmp_path / "released.pt")
    network = build_network(small_config(head={"type": head, "num_answers": 7})).eval()
    load_weights(network, tmp_path / "released.pt", strict=True)
    frames, ids, mask = make_inputs()
    labels = torch.full_like(ids, -100)
    labels[..., 2] = 3
    seen = {}
    network.encoder.register_forward_hook(lambda module, inputs, output: seen.update(pooled=output[1]))
    network.grid_encoder.register_forward_hook(lambda module, inputs, output: seen.update(grids=output))
    with torch.no_grad():
        # With labels all pairs go through at once, in their order.
        output = network(frames, ids, mask, torch.zeros_like(ids), labels if head == "pretrain" else None)
    wanted = expected[f"{head}.scores"]
    torch.testing.assert_close(seen["grids"], expected[f"{head}.grids"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output["scores"].reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)
    if head == "pretrain":
        torch.testing.assert_close(seen["pooled"], expected["pretrain.pooled"], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(output["mlm_scores"], expected["pretrain.words"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_pixels_resized_padded_normalised_and_blue_first(name, expected):
    seen = {}
    network = build_network(small_config())
    network.backbone.stem.register_forward_pre_hook(lambda module, inputs: seen.update(pixels=inputs[0]))
    with torch.no_grad():
        network.backbone(resize_and_pad(make_frame(name), FRAMES[name][2])[None])
    # Frames travel as whole grey levels, so half a level is lost at most.
    difference = (seen["pixels"][0] - expected[f"pixels.{name}"]).abs()
    assert difference.max() <= 0.5 + 1e-4
    padding = expected[f"pixels.{name}"] == -torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1)
    assert padding.any() and difference[padding].max() < 1e-5


def test_the_script_still_writes_these_tensors(expected):
    again = compute()
    assert again.keys() == expected.keys()
    for name, value in again.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5)
