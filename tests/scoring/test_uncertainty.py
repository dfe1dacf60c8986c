"""Intervals and paired tests agree with loops that draw media one by one, and hold what they promise."""

import time

import numpy as np
import pytest

from clipbert_mmf.scoring import uncertainty
from clipbert_mmf.scoring.outcomes import Outcomes
from clipbert_mmf.scoring.uncertainty import PairingError, compare_paired, estimate_intervals


def make_rows(seed, num_media=40, texts=5, spread=0.3, **more):
    """Return texts about media; those of one medium succeed or fail together."""
    random = np.random.default_rng(seed)
    media = np.repeat(np.arange(num_media), random.integers(1, texts + 1, num_media))
    chance = np.clip(random.normal(0.6, spread, num_media), 0, 1)[media]
    return Outcomes((random.random(len(media)) < chance).astype(float), media, is_share=True, **more)


def resample_in_a_loop(rows, statistic, num=3000):
    """Draw media with all their rows, and compute the number of what was drawn."""
    random, media = np.random.default_rng(1), np.unique(rows.media)
    places = {medium: np.flatnonzero(rows.media == medium) for medium in media}
    return np.array(
        [statistic(np.concatenate([places[m] for m in random.choice(media, len(media))])) for _ in range(num)]
    )


@pytest.mark.parametrize("kind", ["mean", "median", "weighted"])
def test_an_interval_is_that_of_a_loop_over_media(kind):
    rows = make_rows(3)
    random = np.random.default_rng(4)
    ranks, weights = random.integers(1, 30, len(rows.values)).astype(float), random.random(len(rows.values))
    rows = {
        "mean": rows,
        "median": Outcomes(ranks, rows.media, statistic="median"),
        "weighted": Outcomes(ranks, rows.media, weights),
    }[kind]
    statistic = {
        "mean": lambda drawn: rows.values[drawn].mean(),
        "median": lambda drawn: np.median(rows.values[drawn]),
        "weighted": lambda drawn: np.average(rows.values[drawn], weights=weights[drawn]),
    }[kind]
    expected = np.quantile(resample_in_a_loop(rows, statistic), [0.025, 0.975])
    found = estimate_intervals({"x": rows})["x"]
    width = expected[1] - expected[0]
    assert found.num_media == 40
    assert [found.low, found.high] == pytest.approx(
        expected, abs=max(0.12 * width, 0.5 if kind == "median" else 0)
    )


def test_texts_of_one_medium_do_not_count_as_many():
    together = make_rows(5, texts=20, spread=1.0)
    apart = Outcomes(together.values, np.arange(len(together.values)), is_share=True)
    wide, narrow = estimate_intervals({"x": together})["x"], estimate_intervals({"x": apart})["x"]
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_an_interval_holds_the_truth_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(uncertainty, "NUM_RESAMPLES", 400)
    held = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        media = np.repeat(np.arange(60), 3)
        chance = random.beta(2, 3, 60)[media]
        rows = Outcomes((random.random(180) < chance).astype(float), media, is_share=True)
        interval = estimate_intervals({"x": rows})["x"]
        held += interval.low <= 2 / 5 <= interval.high
    assert held >= 0.9 * 150


def test_an_interval_depends_on_the_outcomes_alone():
    rows = make_rows(6)
    order = np.random.default_rng(0).permutation(len(rows.values))
    shuffled = Outcomes(rows.values[order], rows.media[order], is_share=True)
    assert estimate_intervals({"x": rows}) == estimate_intervals({"x": shuffled})


def test_all_right_and_all_wrong_have_wilsons_interval():
    rows = {
        name: Outcomes(np.full(8, value), np.repeat(np.arange(4), 2), is_share=True)
        for name, value in (("all", 1.0), ("none", 0.0))
    }
    found = estimate_intervals(rows)
    assert found["all"].low == pytest.approx(4 / (4 + 1.96**2), abs=1e-3) and found["all"].high == 1.0
    assert found["none"].low == 0.0 and found["none"].high == pytest.approx(1 - found["all"].low)


def test_one_medium_and_no_weight_have_no_interval():
    assert estimate_intervals({"x": Outcomes(np.ones(5), np.zeros(5))}) == {}
    assert estimate_intervals({"x": Outcomes(np.ones(5), np.arange(5), np.zeros(5))}) == {}
    assert estimate_intervals({}) == {}


def test_a_number_of_few_media_among_many_has_an_interval_of_its_own():
    rows = make_rows(7)
    few = Outcomes(rows.values[:9], rows.media[:9], is_share=True)
    found = estimate_intervals({"all": rows, "few": few})
    assert found["few"].num_media == len(np.unique(rows.media[:9])) < 40
    assert found["few"].high - found["few"].low > found["all"].high - found["all"].low


def test_a_thousand_media_take_less_than_a_second():
    random = np.random.default_rng(0)
    ranks = random.integers(1, 1000, 1000).astype(float)
    rows = {
        f"r{depth}": Outcomes((ranks <= depth).astype(float), np.arange(1000), is_share=True)
        for depth in (1, 5, 10, 50, 100, 200)
    }
    rows |= {f"rank{number}": Outcomes(ranks, np.arange(1000), statistic="median") for number in range(2)}
    begin = time.process_time()
    estimate_intervals(rows)
    assert time.process_time() - begin < 5  # 0.3 s; a loop takes minutes


def test_a_paired_difference_is_narrower_than_two_intervals_and_agrees_with_a_loop():
    theirs = make_rows(8, num_media=80)
    random = np.random.default_rng(9)
    better = np.where(random.random(len(theirs.values)) < 0.3, 1.0, theirs.values)
    ours = Outcomes(better, theirs.media, is_share=True)
    found = compare_paired([ours], [theirs])
    assert found.value == pytest.approx(ours.value - theirs.value)
    samples = resample_in_a_loop(theirs, lambda drawn: (ours.values - theirs.values)[drawn].mean())
    low, high = np.quantile(samples, [0.025, 0.975])
    assert [found.interval.low, found.interval.high] == pytest.approx([low, high], abs=0.12 * (high - low))
    assert found.is_significant and found.p_value < 0.01
    single = estimate_intervals({"x": theirs})["x"]
    assert found.interval.high - found.interval.low < single.high - single.low


def test_models_that_do_not_differ_are_rarely_called_different(monkeypatch):
    monkeypatch.setattr(uncertainty, "NUM_RESAMPLES", 300)
    called = 0
    for seed in range(100):
        media = np.repeat(np.arange(30), 2)
        ours, theirs = (
            Outcomes((np.random.default_rng([seed, side]).random(60) < 0.5).astype(float), media)
            for side in (0, 1)
        )
        called += compare_paired([ours], [theirs]).is_significant
    assert called <= 12


def test_three_media_are_never_enough():
    ours, theirs = (Outcomes(np.full(3, value), np.arange(3), is_share=True) for value in (1.0, 0.0))
    found = compare_paired([ours], [theirs])
    assert found.value == 1.0 and found.p_value == pytest.approx(2 / 8) and not found.is_significant


def test_medians_are_compared_too():
    random = np.random.default_rng(2)
    theirs = Outcomes(random.integers(10, 60, 50).astype(float), np.arange(50), statistic="median")
    ours = Outcomes(theirs.values - 9, theirs.media, statistic="median")
    found = compare_paired([ours], [theirs])
    assert found.value == -9 and found.interval.high == -9 == found.interval.low and found.p_value < 0.2
    assert compare_paired([theirs], [theirs]).p_value == 1.0


def test_seeds_are_averaged_medium_by_medium():
    ours, theirs = [make_rows(3) for _ in range(2)], [make_rows(3), make_rows(3)]
    worse = Outcomes(np.zeros(len(theirs[0].values)), theirs[0].media, is_share=True)
    found = compare_paired(ours, [theirs[0], worse])
    assert found.value == pytest.approx(ours[0].value / 2) and found.is_significant
    with pytest.raises(PairingError, match="2 results beside 1"):
        compare_paired(ours, theirs[:1])


def test_results_of_other_items_are_refused():
    rows = make_rows(3)
    others = Outcomes(rows.values[1:], rows.media[1:] + 1)
    with pytest.raises(PairingError, match="not of the same media"):
        compare_paired([rows], [others])
    with pytest.raises(PairingError, match="not of the same texts: '0' has"):
        compare_paired([rows], [Outcomes(np.append(rows.values, 1.0), np.append(rows.media, 0))])
    one = Outcomes(np.ones(2), np.zeros(2))
    with pytest.raises(PairingError, match="at least two media"):
        compare_paired([one], [one])
