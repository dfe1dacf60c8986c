"""Orders items into batches as a function of (seed, epoch).

The same for any number of processes, and resumable.

A *global* batch is what all processes read together for one micro-batch. Batch ``b`` of an epoch holds the
same items whatever the world size; a process takes every W-th of them. So training can be cut anywhere and go
on, with more or fewer processes, and nothing needs to be decoded to get back to the place.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clipbert_mmf.training.dataset_mixing import Mixing
from clipbert_mmf.training.seeding import derive_state, numpy_seeded

#: Draws without progress after which the next dataset with batches left is taken (a constant strategy never
#: gets on).
_MAX_IDLE_DRAWS = 10_000


class ShardedBatches:
    """Samples the batches of one training dataset for one process.

    ``len`` and iteration cover the window that ``set_window`` chose.

    Args:
        num_items: size of the dataset.
        global_batch_size: items all processes read together.
        shuffle: a new permutation for every pass, or the dataset's order.
        seed: the run's.
        name: the dataset's, so that two datasets do not share permutations.
        rank: number of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        num_items: int,
        global_batch_size: int,
        shuffle: bool,
        seed: int,
        name: str,
        rank: int,
        world_size: int,
    ) -> None:
        self.num_items, self.global_batch_size, self.shuffle = num_items, global_batch_size, shuffle
        self.seed, self.name, self.rank, self.world_size = seed, name, rank, world_size
        self.num_batches = -(-num_items // global_batch_size)
        self._epoch, self._start, self._stop = 0, 0, self.num_batches
        self._pass: tuple[int, int] | None = None
        self._permutation = np.zeros(0, dtype=np.int64)

    def set_window(self, epoch: int, start: int, stop: int) -> None:
        """Read global batches ``start`` to ``stop`` (exclusive) of an epoch.

        Beyond one pass, further passes follow.
        """
        self._epoch, self._start, self._stop = epoch, start, stop

    def num_global(self, batch: int) -> int:
        """Return the number of items all processes read together for a batch."""
        first = (batch % self.num_batches) * self.global_batch_size
        return min(self.global_batch_size, self.num_items - first)

    def num_local(self, batch: int) -> int:
        """Return the number of items of a batch that count on this process.

        0 where the batch has fewer items than processes.
        """
        return len(range(self.rank, self.num_global(batch), self.world_size))

    def global_items(self, batch: int) -> npt.NDArray[np.int64]:
        """Return the items of a batch over all processes, in order."""
        number, place = divmod(batch, self.num_batches)
        if self._pass != (self._epoch, number):
            self._permutation = self._permute(number)
            self._pass = (self._epoch, number)
        first = place * self.global_batch_size
        return self._permutation[first : first + self.global_batch_size]

    def _permute(self, number: int) -> npt.NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(self.num_items)
        rng = np.random.default_rng(derive_state(self.seed, "order", self.name, self._epoch, number))
        return rng.permutation(self.num_items)

    def __len__(self) -> int:
        return self._stop - self._start

    def __iter__(self) -> Iterator[list[int]]:
        for batch in range(self._start, self._stop):
            items = self.global_items(batch)
            # A process without an item of its own reads one all the same, to take part in the gradient sum
            # with weight 0.
            yield (items[self.rank :: self.world_size] if self.num_local(batch) else items[:1]).tolist()


class ShardedItems:
    """Samples batches for evaluation: every item once, over all processes, in the dataset's order.

    Args:
        num_items: size of the dataset.
        batch_size: items of one process.
        rank: number of this process.
        world_size: number of processes.
    """

    def __init__(self, num_items: int, batch_size: int, rank: int, world_size: int) -> None:
        self.items = list(range(rank, num_items, world_size))
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(0, len(self.items), self.batch_size):
            yield self.items[first : first + self.batch_size]


class EpochOrder:
    """Orders global batches over one or more datasets.

    An epoch is as many batches as the datasets have together. With ``mixing.exhaust`` each is read exactly
    once; otherwise the draws decide, and a dataset drawn more often than it has batches starts again.

    Args:
        streams: one sampler per dataset.
        seed: the run's.
        mixing: chooses the dataset of the next batch.

    Raises:
        ValueError: if a dataset is empty.
    """

    def __init__(self, streams: Sequence[ShardedBatches], seed: int, mixing: Mixing | None = None) -> None:
        if not streams or not all(stream.num_items for stream in streams):
            raise ValueError(f"training data is empty: {[(s.name, s.num_items) for s in streams]}")
        self.streams, self.seed, self.mixing = list(streams), seed, mixing or Mixing()
        self.num_batches = sum(stream.num_batches for stream in self.streams)

    def describe(self) -> list[list[Any]]:
        """Return what a stored place in an epoch refers to.

        Name, items and batch size of each dataset, how they mix.
        """
        streams: list[list[Any]] = [
            [stream.name, stream.num_items, stream.global_batch_size] for stream in self.streams
        ]
        return [*streams, *([[self.mixing.about]] if self.mixing.about else [])]

    def find_place(self, order: Sequence[Sequence[Any]], position: int) -> int | None:
        """Return where a run stands that had done ``position`` batches in an order that ``describe`` told, or None.

        With one dataset the items of an epoch follow one another whatever the batch size, so another one has
        the same place wherever a batch of its own begins there.
        """
        if order == self.describe():
            return position
        if len(order) != 1 or [list(entry[:2]) for entry in order] != [
            entry[:2] for entry in self.describe()
        ]:
            return None
        num_items, done = order[0][1], position * order[0][2]
        if done >= num_items:
            return self.num_batches
        batches, rest = divmod(done, self.streams[0].global_batch_size)
        return None if rest else batches

    def start_epoch(self, epoch: int, position: int) -> list[tuple[int, int]]:
        """Set the samplers to go on at a place, and return (dataset, batch) for the whole epoch."""
        counts = [0] * len(self.streams)
        starts = counts
        plan: list[tuple[int, int]] = []
        for place, stream in enumerate(self._choose(epoch)):
            if place == position:
                starts = list(counts)
            plan.append((stream, counts[stream]))
            counts[stream] += 1
        for stream, start, stop in zip(self.streams, starts, counts, strict=True):
            stream.set_window(epoch, start, stop)
        return plan

    def _choose(self, epoch: int) -> list[int]:
        if len(self.streams) == 1 or self.mixing.choose is None:
            return [number for number, stream in enumerate(self.streams) for _ in range(stream.num_batches)]
        left = [stream.num_batches for stream in self.streams]
        choices: list[int] = []
        strategy = copy.copy(self.mixing.choose)  # round robin counts along; each epoch starts as the first
        idle = 0
        with numpy_seeded(self.seed, "datasets", epoch):
            while len(choices) < self.num_batches:
                choice = int(strategy())
                if self.mixing.exhaust and left[choice] <= 0:
                    idle += 1
                    if idle < _MAX_IDLE_DRAWS:
                        continue
                    choice = next(number for number, count in enumerate(left) if count > 0)
                idle = 0
                left[choice] -= 1
                choices.append(choice)
        return choices


def split_into_updates(num_batches: int, batches_per_update: int, start: int = 0) -> list[range]:
    """Return the batches of each optimizer step of an epoch, from ``start`` on.

    Groups do not reach over the end of an epoch: the last one is shorter where the numbers do not divide.
    """
    firsts = range(start, num_batches, batches_per_update)
    return [range(first, min(first + batches_per_update, num_batches)) for first in firsts]
