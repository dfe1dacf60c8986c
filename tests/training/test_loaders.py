"""MMF's loaders get our batches; orders that cannot be resumed are refused.

Wrapped datasets hear the epoch.
"""

import os
import signal
import time

import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    WeightedRandomSampler,
)

from clipbert_mmf.training import loaders
from clipbert_mmf.training.loaders import (
    describe_health,
    make_evaluation_loader,
    make_training_loader,
    rebuild_loader,
    tell_epoch,
)
from clipbert_mmf.training.options import WorkerOptions


class Numbers(Dataset):
    epoch = 0

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return index

    def set_epoch(self, epoch):
        self.epoch = epoch

    def describe_health(self):
        return {"unreadable": self.epoch}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


def test_a_loader_keeps_its_collation_and_gets_our_batches():
    loader = DataLoader(Numbers(), batch_size=4, shuffle=True, collate_fn=tuple)
    training, sampler = make_training_loader(loader, "numbers", 3, WorkerOptions())
    assert sampler.shuffle and sorted(sum(training, ())) == list(range(10))
    evaluation, items = make_evaluation_loader(loader, "numbers")
    assert list(evaluation) == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)] and items == list(range(10))


@pytest.mark.parametrize(
    "loader, message",
    [
        (DataLoader(Stream(), batch_size=2), "dataset 'numbers' is iterable or batches itself"),
        (
            DataLoader(Numbers(), batch_size=2, sampler=WeightedRandomSampler([1.0] * 10, 10)),
            "dataset 'numbers' brings its own sampler WeightedRandomSampler",
        ),
    ],
)
def test_an_order_that_cannot_be_resumed_is_refused(loader, message):
    with pytest.raises(ValueError, match=message):
        make_evaluation_loader(loader, "numbers")


def test_wrapped_datasets_hear_the_epoch_and_report_their_health():
    inner = [Numbers(), Numbers()]
    whole = ConcatDataset([inner[0], Subset(inner[1], [0, 1])])
    tell_epoch(whole, 3)
    assert [dataset.epoch for dataset in inner] == [3, 3]
    assert describe_health([whole]) == {"unreadable": 3}


def test_worker_options_reach_the_loader():
    loader = DataLoader(Numbers(), batch_size=2, num_workers=1)
    options = WorkerOptions(persistent_workers=True, prefetch_factor=5, worker_timeout_sec=7.0)
    training, _ = make_training_loader(loader, "numbers", 3, options)
    assert (training.persistent_workers, training.prefetch_factor, training.timeout) == (True, 5, 7.0)
    evaluation, _ = make_evaluation_loader(loader, "numbers", options)
    assert evaluation.persistent_workers is False


class Freezing(Dataset):
    """Its only worker stops, as by a debugger, while it reads the second item."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 1:
            time.sleep(0.5)  # so that the first item is announced
            os.kill(os.getpid(), signal.SIGSTOP)
        return torch.full((100_000,), index)


def test_a_worker_that_is_frozen_ends_the_wait_and_is_named(monkeypatch):
    monkeypatch.setattr(loaders, "_GRACE_SEC", 1.0)
    given = DataLoader(Freezing(), batch_size=1, num_workers=1)
    loader = rebuild_loader(given, [[0], [1], [2], [3]], WorkerOptions(worker_timeout_sec=3))
    iterator = iter(loader)
    worker = iterator._workers[0]
    while not loaders._is_stopped(worker.pid):
        time.sleep(0.01)
    # The first batch is announced, and the worker that has to hand it over is stopped.
    with pytest.raises(
        RuntimeError, match=rf"worker_timeout_sec=3: .* \(stopped: worker 0, process {worker.pid}\)"
    ):
        next(iterator)
    worker.join(20)
    assert worker.exitcode == -signal.SIGKILL
