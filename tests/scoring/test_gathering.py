"""Rows of two ranks with different lengths, gathered once, in order, and with gradients."""

import torch

from clipbert_mmf.scoring.gathering import first_of_each, gather_rows, gather_with_gradient, index_of_texts
from tests.two_ranks import run_two_ranks

PROGRAM = """
import json, sys, torch
from clipbert_mmf.scoring.gathering import as_gathered, first_of_each, gather_rows, gather_with_gradient
rank = int(sys.argv[1])
torch.distributed.init_process_group('gloo', init_method='file://' + sys.argv[2], rank=rank, world_size=2)
rows = torch.arange(3 - rank)[:, None] + 10 * rank
leaf = rows.float().requires_grad_()
# The second rank wants twice as much of each row.
(gather_with_gradient(leaf)[:, 0] * torch.arange(1, 6) * (rank + 1)).sum().backward()
with as_gathered():
    inside = gather_rows(rows).flatten().tolist()
print(json.dumps({
    'rows': gather_rows(rows).flatten().tolist(),
    'first': first_of_each(gather_rows(rows[:, 0] % 10)).tolist(),
    'gradient': leaf.grad.flatten().tolist(),
    'inside': inside,
}))
"""


def test_rows_of_uneven_ranks_are_gathered_in_order_once_and_with_gradients(tmp_path):
    found = run_two_ranks(PROGRAM, tmp_path)
    for one in found:
        assert one["rows"] == [0, 1, 2, 10, 11] and one["first"] == [0, 1, 2]
    assert [one["gradient"] for one in found] == [[3, 6, 9], [12, 15]]
    assert [one["inside"] for one in found] == [[0, 1, 2], [10, 11]]


def test_in_one_process_rows_are_their_own():
    rows = torch.ones(2, 3, requires_grad=True)
    assert gather_rows(rows) is rows and gather_with_gradient(rows) is rows


def test_the_first_of_each_index_counts_and_texts_are_numbered_by_item():
    assert first_of_each(torch.tensor([4, 1, 4, 0, 1])).tolist() == [3, 1, 0]
    assert index_of_texts(torch.tensor([0, 5]), 3).tolist() == [[0, 1, 2], [15, 16, 17]]
