"""From section ``multitasking`` to which dataset comes next; the same in both MMFs."""

from collections import Counter

import numpy as np
import pytest

from clipbert_mmf.training.data_order import EpochOrder, ShardedBatches
from clipbert_mmf.training.dataset_mixing import Mixing, make_mixing
from clipbert_mmf.training.options import MixingOptions

SIZES = {"a": 300, "b": 100}


def read(kind, sizes=SIZES, **params):
    return make_mixing(MixingOptions(type=kind, params=params), sizes)


def draw(mixing, count=4000):
    np.random.seed(3)
    return Counter(int(mixing.choose()) for _ in range(count))


@pytest.mark.parametrize(
    "mixing, share, exhaust",
    [
        (read("size_proportional"), 0.75, True),
        (make_mixing(None, SIZES), 0.75, True),
        (read("random"), 0.5, False),
        (read("ratios", sampling_ratios={"b": 9, "a": 1, "not in this run": 5}), 0.1, False),
        (read("round_robin"), 0.5, False),
        (read("constant", idx=1), 0.0, True),
    ],
)
def test_datasets_are_drawn_in_their_proportions(mixing, share, exhaust):
    assert draw(mixing)[0] / 4000 == pytest.approx(share, abs=0.03)
    assert mixing.exhaust is exhaust


def test_a_ratio_of_zero_never_trains_on_a_dataset():
    assert set(draw(read("ratios", sampling_ratios={"a": 0, "b": 1}))) == {1}


def test_round_robin_starts_where_it_is_told():
    mixing = read("round_robin", start_idx=1)
    assert [mixing.choose() for _ in range(4)] == [1, 0, 1, 0]


def test_a_strategy_of_the_hosts_own_is_kept_and_one_dataset_needs_none():
    own = Mixing(lambda: 1, False, "own")
    assert (
        make_mixing(MixingOptions(type="theirs"), SIZES, own) is own and make_mixing(None, SIZES, own) is own
    )
    assert make_mixing(MixingOptions(type="ratios"), {"a": 3}).choose is None
    assert make_mixing(MixingOptions(enabled=False), SIZES).choose is None


@pytest.mark.parametrize(
    "section, message",
    [
        ({"type": "sometimes"}, "multitasking.type is 'sometimes'; allowed are constant, random"),
        (
            {"type": "ratios", "params": {"sampling_ratios": {"a": 1}}},
            r"sampling_ratios has \['a'\]; expected a number for \['b'\] too",
        ),
        (
            {"type": "ratios", "params": {"sampling_ratios": {"a": 0, "b": 0}}},
            "expected numbers from 0, one above it",
        ),
        (
            {"type": "ratios", "params": {"sampling_ratios": {"a": -1, "b": 2}}},
            "expected numbers from 0, one above it",
        ),
    ],
)
def test_a_section_that_cannot_be_is_refused(section, message):
    with pytest.raises(ValueError, match=message):
        make_mixing(MixingOptions(**section), SIZES)


def test_another_proportion_is_another_place_in_an_epoch():
    streams = [
        ShardedBatches(size, 10, True, seed=5, name=name, rank=0, world_size=1)
        for name, size in SIZES.items()
    ]
    ratios = [{"a": 1, "b": 1}, {"a": 1, "b": 2}]
    orders = [EpochOrder(streams, 5, read("ratios", sampling_ratios=ratio)) for ratio in ratios]
    assert orders[0].describe() != orders[1].describe()
    assert EpochOrder(streams, 5, read("size_proportional")).describe() == [["a", 300, 10], ["b", 100, 10]]
