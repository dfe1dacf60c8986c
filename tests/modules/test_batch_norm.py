"""Two processes normalize and train as one that has all their items; frozen norms are torchvision's."""

import torch
import torchvision

from clipbert_mmf.modules.batch_norm import FrozenBatchNorm, SyncedBatchNorm
from tests.two_ranks import run_two_ranks

PROGRAM = """
import json, sys, torch
from clipbert_mmf.modules.batch_norm import SyncedBatchNorm
from clipbert_mmf.scoring.gathering import average_over_ranks, sharing_batch
rank = int(sys.argv[1])
torch.distributed.init_process_group('gloo', init_method='file://' + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(0)
norm, items = SyncedBatchNorm(3), torch.randn(5, 3, 4, 2)
found = []
for counts, mine in (((3, 2), items[:3] if rank == 0 else items[3:]), ((1, 0), items[:1])):
    own = mine.clone().requires_grad_()
    norm.weight.grad = norm.bias.grad = None
    with sharing_batch(counts[rank], sum(counts)):
        loss = norm(own).pow(3).sum(dim=(1, 2, 3)).mean() * (counts[rank] / sum(counts))
        loss.backward()
        share = average_over_ranks(torch.tensor(6.0 + rank), torch.tensor(2 + rank))
    found.append([own.grad.flatten().tolist(), norm.weight.grad.tolist(), norm.running_mean.tolist(),
                  norm.running_var.tolist(), float(share) * counts[rank] / sum(counts)])
print(json.dumps(found))
"""


def test_two_ranks_have_the_statistics_and_gradients_of_one_batch(tmp_path):
    found = run_two_ranks(PROGRAM, tmp_path)
    torch.manual_seed(0)
    norm, items = torch.nn.BatchNorm2d(3), torch.randn(5, 3, 4, 2)
    for step, (batch, sizes) in enumerate(((items, (3, 2)), (items[:1], (1, 0)))):
        whole = batch.clone().requires_grad_()
        norm.zero_grad()
        norm(whole).pow(3).sum(dim=(1, 2, 3)).mean().backward()
        parts = [torch.tensor(rank[step][0]) for rank in found]
        own = torch.cat([part[: size * 24] for part, size in zip(parts, sizes, strict=True)])
        torch.testing.assert_close(own, whole.grad.flatten(), atol=1e-5, rtol=1e-4)
        weight = torch.tensor(found[0][step][1]) + torch.tensor(found[1][step][1])
        torch.testing.assert_close(weight, norm.weight.grad, atol=1e-5, rtol=1e-4)
        for rank in found:
            torch.testing.assert_close(torch.tensor(rank[step][2]), norm.running_mean, atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(torch.tensor(rank[step][3]), norm.running_var, atol=1e-6, rtol=1e-5)
    assert not any(found[1][1][0])  # the item that only keeps the second rank in step


def test_shares_of_a_mean_over_words_add_up_to_it(tmp_path):
    found = run_two_ranks(PROGRAM, tmp_path)
    assert abs(found[0][0][4] + found[1][0][4] - 13 / 5) < 1e-6
    assert abs(found[0][1][4] + found[1][1][4] - 6 / 2) < 1e-6


def test_in_one_process_it_is_torchs_own():
    torch.manual_seed(0)
    ours, theirs, items = SyncedBatchNorm(3), torch.nn.BatchNorm2d(3), torch.randn(5, 3, 4, 2)
    for _ in range(2):
        assert torch.equal(ours(items), theirs(items))
        ours.eval(), theirs.eval()


def test_a_frozen_norm_is_torchvisions_to_the_bit_and_loads_what_a_trained_norm_saved():
    generator = torch.Generator().manual_seed(0)
    trained = torch.nn.BatchNorm2d(3)
    for tensor in (trained.weight.data, trained.bias.data, trained.running_mean, trained.running_var):
        tensor.copy_(torch.rand(3, generator=generator) + 0.5)
    own, theirs = FrozenBatchNorm(3), torchvision.ops.FrozenBatchNorm2d(3)
    assert own.state_dict().keys() == theirs.state_dict().keys() and not list(own.parameters())
    for norm in (own, theirs):
        norm.load_state_dict(trained.state_dict())
    items = torch.randn(2, 3, 4, 5, generator=generator)
    assert torch.equal(own(items), theirs(items))
    assert repr(own) == "FrozenBatchNorm(3, eps=1e-05)"
