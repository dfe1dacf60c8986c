"""Batches hold the same items for any number of processes, from any place on, and every item once."""

from itertools import chain

import numpy as np
import pytest

from clipbert_mmf.training.data_order import EpochOrder, ShardedBatches, ShardedItems, split_into_updates
from clipbert_mmf.training.dataset_mixing import Mixing


def sampler(num_items=23, batch=4, rank=0, world_size=1, shuffle=True, name="a"):
    return ShardedBatches(num_items, batch, shuffle, seed=5, name=name, rank=rank, world_size=world_size)


def batches_of(world_size, epoch=1, **options):
    """Global batches, from the shares of all processes."""
    shares = []
    for rank in range(world_size):
        one = sampler(rank=rank, world_size=world_size, **options)
        one.set_window(epoch, 0, one.num_batches)
        shares.append([items[: one.num_local(number)] for number, items in enumerate(one)])
    return [sorted(chain.from_iterable(parts)) for parts in zip(*shares, strict=True)]


def test_a_global_batch_holds_the_same_items_for_any_number_of_processes():
    alone = batches_of(1)
    assert batches_of(2) == batches_of(4) == alone
    assert sorted(chain.from_iterable(alone)) == list(range(23))


def test_a_process_without_an_item_takes_part_with_one_that_does_not_count():
    last = sampler(num_items=21, rank=3, world_size=4)  # the last batch has one item
    last.set_window(1, 5, 6)
    assert last.num_local(5) == 0 and last.num_global(5) == 1
    assert [len(items) for items in last] == [1]


def test_another_epoch_another_dataset_and_another_pass_have_another_order():
    first = batches_of(1)
    assert batches_of(1, epoch=2) != first
    assert batches_of(1, name="b") != first
    one = sampler()
    assert sorted(one.global_items(6)) != sorted(one.global_items(0))
    assert batches_of(1, shuffle=False)[0] == [0, 1, 2, 3]


def test_going_on_in_the_middle_gives_what_was_left_without_reading_the_rest():
    order = EpochOrder([sampler()], seed=5)
    order.start_epoch(3, 0)
    whole = list(order.streams[0])
    order.start_epoch(3, 4)
    assert list(order.streams[0]) == whole[4:]


@pytest.mark.parametrize("position", [0, 3, 7])
def test_several_datasets_are_each_read_once_in_an_order_that_can_be_resumed(position):
    def draw():
        return np.random.choice(2, p=[0.7, 0.3])

    def run(start):
        order = EpochOrder([sampler(), sampler(num_items=9, name="b")], 5, Mixing(draw))
        plan = order.start_epoch(2, start)
        iterators = [iter(stream) for stream in order.streams]
        return plan, [(stream, next(iterators[stream])) for stream, _ in plan[start:]]

    plan, whole = run(0)
    assert len(plan) == 9 and sorted(
        item for stream, items in whole if stream == 1 for item in items
    ) == list(range(9))
    assert run(position) == (plan, whole[position:])


def test_choosing_datasets_leaves_numpys_generator_alone():
    np.random.seed(1)
    expected = np.random.get_state()[1].tolist()
    EpochOrder([sampler(), sampler(name="b")], 5, Mixing(lambda: np.random.choice(2))).start_epoch(1, 0)
    assert np.random.get_state()[1].tolist() == expected


def test_a_strategy_that_never_moves_on_does_not_hang():
    plan = EpochOrder([sampler(), sampler(num_items=9, name="b")], 5, Mixing(lambda: 0)).start_epoch(1, 0)
    assert [stream for stream, _ in plan] == [0] * 6 + [1] * 3


def test_a_dataset_drawn_more_often_than_it_has_batches_starts_again():
    order = EpochOrder([sampler(), sampler(num_items=8, name="b")], 5, Mixing(lambda: 1, exhaust=False))
    order.start_epoch(1, 0)
    read = list(order.streams[1])
    assert len(read) == 8 and sorted(chain.from_iterable(read[:2])) == sorted(
        chain.from_iterable(read[2:4])
    ) == list(range(8))


@pytest.mark.parametrize(
    "frequency, sizes", [(2, [2] * 4), (3, [3, 3, 2]), (5, [5, 3]), (7, [7, 1]), (16, [8])]
)
def test_the_last_update_of_an_epoch_takes_what_is_left(frequency, sizes):
    updates = split_into_updates(8, frequency)
    assert [len(update) for update in updates] == sizes
    assert [place for update in updates for place in update] == list(range(8))


def test_evaluation_reads_every_item_once_over_all_processes():
    shares = [list(chain.from_iterable(ShardedItems(13, 4, rank, 4))) for rank in range(4)]
    assert sorted(chain.from_iterable(shares)) == list(range(13))
    assert list(ShardedItems(2, 4, 3, 4)) == []


def test_a_place_is_found_again_in_batches_of_another_size():
    def order(batch_size, num_items=30):
        return EpochOrder([ShardedBatches(num_items, batch_size, True, 11, "points", 0, 1)], 11)

    stored = order(4).describe()
    assert order(4).find_place(stored, 5) == 5
    assert order(6).find_place(stored, 3) == 2 and order(12).find_place(stored, 3) == 1
    assert order(6).find_place(stored, 8) == 5  # the end of the epoch, whose last batch was short
    assert order(8).find_place(stored, 3) is None and order(4, num_items=31).find_place(stored, 3) is None
