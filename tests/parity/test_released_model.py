"""Our network with a released-format state dict gives what the released arithmetic gives, part by part and whole."""

import pytest
import torch

from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.loading import load_weights
from tests.network_settings import small_config
from tests.parity import released_format as released

HEADS = {"match": 2, "classify": 7, "choose": 1, "pretrain": 2}


def make_pair(head: str, tmp_path):
    """The same numbers in the released names, and in our network through a file."""
    state = released.make_state(4, 16, 2, 50, 24, head, HEADS[head])
    torch.save(state, tmp_path / "model_step_1.pt")
    network = build_network(small_config(head={"type": head, "num_answers": 7})).eval()
    report = load_weights(network, tmp_path / "model_step_1.pt", strict=True)
    assert report.is_complete and report.format == "the released ClipBERT"
    return state, network


def make_batch(clips=2, frames=2):
    pixels = released.filled(2, clips, frames, 3, 128, 160, seed=5, spread=127, centre=127.5).to(torch.uint8)
    ids = torch.arange(2 * 3 * 8).remainder(50).view(2, 3, 8)
    mask = torch.ones_like(ids)
    mask[:, 1, 5:] = 0
    mask[1, 2, 3:] = 0
    return pixels, ids, mask


@pytest.mark.parametrize("head", sorted(HEADS))
def test_scores_equal_the_released_models_for_every_head(head, tmp_path):
    state, network = make_pair(head, tmp_path)
    pixels, ids, mask = make_batch(clips=1)
    labels = torch.full_like(ids, -100)
    labels[..., 2] = 3
    with torch.no_grad():
        ours = network(pixels, ids, mask, torch.zeros_like(ids), labels if head == "pretrain" else None)
        grids = released.encode_frames(state, pixels.flatten(0, 2)).unflatten(0, (2, 2))
        rows, pooled = released.encode_pairs(
            state, grids.repeat_interleave(3, 0), ids.flatten(0, 1), mask.flatten(0, 1), num_heads=4
        )
        expected = released.score_pooled(state, pooled)
    assert expected.std() > 0.05
    torch.testing.assert_close(ours["scores"].reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)
    if head == "pretrain":
        words = released.score_words(state, rows)[:, 2]
        torch.testing.assert_close(ours["mlm_scores"], words, rtol=1e-4, atol=1e-4)


def test_grid_features_equal_the_released_models(tmp_path):
    state, network = make_pair("match", tmp_path)
    frames = make_batch()[0].flatten(0, 2)
    with torch.no_grad():
        grids = network.grid_encoder(network.backbone(frames))
    expected = released.encode_frames(state, frames).permute(0, 3, 1, 2)
    assert grids.shape[-2:] == (2, 2) and expected.std() > 0.05
    torch.testing.assert_close(grids, expected, rtol=1e-4, atol=1e-4)


def test_several_clips_fold_as_equation_6_says(tmp_path):
    state, network = make_pair("match", tmp_path)
    pixels, ids, mask = make_batch(clips=3)
    with torch.no_grad():
        ours = network(pixels, ids, mask, torch.zeros_like(ids))["scores"]
        exponentials = 0
        for clip in range(3):
            grids = released.encode_frames(state, pixels[:, clip].flatten(0, 1)).unflatten(0, (2, 2))
            _, pooled = released.encode_pairs(
                state, grids.repeat_interleave(3, 0), ids.flatten(0, 1), mask.flatten(0, 1), num_heads=4
            )
            exponentials = exponentials + released.score_pooled(state, pooled).exp()
    probability = exponentials / exponentials.sum(1, keepdim=True)
    torch.testing.assert_close(ours.softmax(1), probability, rtol=1e-4, atol=1e-5)


def test_a_pretrained_file_starts_a_retrieval_model_with_a_new_head(tmp_path):
    state = released.make_state(4, 16, 2, 50, 24, "pretrain")
    state["cnn.feature.roi_heads.box_predictor.cls_score.weight"] = torch.zeros(3, 3)
    torch.save(state, tmp_path / "pretrained.pt")
    network = build_network(small_config())
    report = load_weights(network, tmp_path / "pretrained.pt")
    head = ["head.hidden.bias", "head.hidden.weight", "head.output.bias", "head.output.weight"]
    assert sorted(report.missing) == head
    assert not report.wrong_shape and all(name.startswith("transformer.cls.") for name in report.left_over)
    assert set(report.unused.values()) == {
        "parts of the object detector",
        "a table the released model never reads",
        "the same as cls.predictions.bias",
    }


def test_the_full_model_has_the_released_models_parameters():
    with torch.device("meta"):
        network = build_network(
            small_config(
                backbone__width=64,
                transformer__hidden_size=768,
                transformer__num_layers=12,
                transformer__num_heads=12,
                transformer__intermediate_size=3072,
                transformer__vocab_size=30522,
                transformer__max_positions=512,
            )
        )
    count = sum(parameter.numel() for parameter in network.parameters())
    # The released 148.8 M include a table of visual positions that nothing reads.
    assert count + 512 * 768 == 148_826_306
