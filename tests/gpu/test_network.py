"""The network on a card: half precision, layouts, attention kernels, activation checkpointing, graphs, transfers."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from clipbert_mmf.models.build import build_network
from tests.network_settings import small_config

TARGETS = [1, 0, 0, 1]
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
#: Name -> member of ``torch.nn.attention.SDPBackend``.
BACKENDS = {
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "math": "MATH",
}


def make_network(device, **changes):
    """Return a small network of the paper's parts with random weights, the same on every device."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "dropout": 0.0}
    changes = {**{f"transformer__{name}": size for name, size in sizes.items()}, **changes}
    return build_network(small_config(**changes)).to(device)


def make_batch(device):
    """Return frames of 2 videos x 2 clips x 2 frames, and 2 texts of 9 and 5 tokens each."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (2, 2, 2, 3, 96, 96), dtype=torch.uint8, generator=generator)
    ids = torch.randint(5, 50, (2, 2, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[:, 1, 5:] = 0
    return [x.to(device) for x in (frames, ids * mask, mask, ids * 0)]


def compute_loss(network, batch):
    """Return the loss of a training batch; its gradients are left in the network."""
    network.zero_grad(set_to_none=True)
    scores = network(*batch)["scores"]
    loss = F.cross_entropy(scores.float(), torch.tensor(TARGETS, device=scores.device))
    loss.backward()
    return loss.detach()


def read_gradients(network):
    """Return the gradients by name."""
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def test_scores_and_gradients_are_those_of_a_cpu(device):
    here, there = make_network("cpu"), make_network(device)
    losses = [compute_loss(network.train(), make_batch(network.device)) for network in (here, there)]
    assert losses[1].item() == pytest.approx(losses[0].item(), abs=1e-5)
    expected, found = read_gradients(here), read_gradients(there)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        error = (found[name].cpu() - gradient).norm() / gradient.norm().clamp(min=1e-6)
        assert error < 1e-3, name


@pytest.mark.parametrize("precision", HALF)
def test_half_precision_gives_the_scores_and_the_loss_of_fp32(device, precision):
    if precision == "fp16" and device.type == "cpu":
        pytest.skip("fp16 is for cards")
    network, batch = make_network(device).eval(), make_batch(device)
    with torch.no_grad():
        expected = network(*batch)["scores"]
        with torch.autocast(device.type, dtype=HALF[precision]):
            found = network(*batch)["scores"]
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 2e-2 * max(1.0, float(expected.abs().max()))
    full = compute_loss(network.train(), batch)
    with torch.autocast(device.type, dtype=HALF[precision]):
        half = compute_loss(network, batch)
    assert half.item() == pytest.approx(full.item(), abs=2e-2)
    assert all(gradient.isfinite().all() for gradient in read_gradients(network).values())


def test_channels_last_weights_give_the_scores_of_contiguous_ones(device):
    network, batch = make_network(device).eval(), make_batch(device)
    assert network.backbone.stem.conv.weight.is_contiguous(memory_format=torch.channels_last)
    plain = copy.deepcopy(network)
    for parameter in plain.parameters():
        parameter.data = parameter.data.contiguous()
    with torch.no_grad():
        torch.testing.assert_close(network(*batch)["scores"], plain(*batch)["scores"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_attention_kernel_that_takes_a_mask_gives_the_same_scores(card, backend):
    attention = pytest.importorskip("torch.nn.attention", reason="PyTorch before 2.3")
    kernel = getattr(attention.SDPBackend, BACKENDS[backend], None)
    if kernel is None:
        pytest.skip(f"PyTorch {torch.__version__} has no {backend} attention")
    network, batch = make_network(card).eval(), make_batch(card)
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        expected = network(*batch)["scores"]
        try:
            with attention.sdpa_kernel([kernel]):
                found = network(*batch)["scores"]
        except RuntimeError as error:
            assert backend not in ("math", "efficient"), error
            pytest.skip(f"{backend} does not take a mask on this card: {str(error).splitlines()[0]}")
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


def test_activation_checkpointing_gives_the_same_gradients(device):
    plain, checkpointed = (make_network(device, activation_checkpointing=on).train() for on in (False, True))
    losses = [compute_loss(network, make_batch(device)) for network in (plain, checkpointed)]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-6)
    found = read_gradients(checkpointed)
    for name, gradient in read_gradients(plain).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5)


def test_activation_checkpointing_takes_less_memory(card):
    peaks = []
    frames, *texts = make_batch(card)
    frames = torch.zeros(2, 8, 2, 3, 224, 224, dtype=torch.uint8, device=card)
    for on in (False, True):
        network = make_network(card, activation_checkpointing=on).train()
        compute_loss(network, [frames, *texts])
        network.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        compute_loss(network, [frames, *texts])
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] < 0.7 * peaks[0]


def test_inference_is_captured_as_a_graph_and_replays_with_other_input(card):
    network, (frames, ids, mask, segments) = make_network(card).eval(), make_batch(card)
    other = 255 - frames
    static = frames.clone()

    def infer():
        visual = network.encode_clips(static)[:, 0].repeat_interleave(2, 0)
        text = network.text_embedding(ids.flatten(0, 1), segments.flatten(0, 1))
        _, pooled = network.encoder(text, mask.flatten(0, 1), visual)
        return network.head(pooled)

    with torch.inference_mode():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            infer()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = infer()
        for pixels in (frames, other):
            static.copy_(pixels)
            graph.replay()
            found = captured.clone()
            torch.testing.assert_close(found, infer(), rtol=1e-5, atol=1e-5)


def test_a_pinned_batch_arrives_whole_without_waiting(card):
    batch = [x.pin_memory() for x in make_batch("cpu")]
    moved = [x.to(card, non_blocking=True) for x in batch]
    for here, there in zip(batch, moved, strict=True):
        assert torch.equal(there.cpu(), here)
