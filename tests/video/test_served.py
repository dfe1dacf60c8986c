"""Backends are counted over all workers of a loader."""

import pytest
import torch

from clipbert_mmf.video.served import ServedTally


class Serving(torch.utils.data.Dataset):
    def __init__(self, tally):
        self.tally = tally

    def __len__(self):
        return 40

    def __getitem__(self, index):
        self.tally("decord" if index % 4 == 0 else "pyav")
        return index


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (1, "spawn")])
def test_every_worker_counts(workers, start):
    tally = ServedTally()
    options = {"num_workers": workers, "multiprocessing_context": start, "persistent_workers": workers > 0}
    loader = torch.utils.data.DataLoader(Serving(tally), **options)
    for _ in range(2):
        assert len(list(loader)) == 40
        assert tally.take() == {"pyav": 30, "decord": 10}
    assert tally.take() == {}


def test_a_decoder_that_is_registered_later_counts_as_another():
    tally = ServedTally()
    tally("registered later")
    assert tally.take() == {"another": 1}
