"""Outcomes give the number they are of, and survive a file."""

import numpy as np
import pytest
import torch

from clipbert_mmf.scoring.outcomes import (
    Measured,
    Outcomes,
    load_outcomes,
    make_outcomes,
    read_outcomes,
    write_outcomes,
)


def test_a_number_is_the_mean_the_weighted_mean_or_the_median_of_its_rows():
    values, media = torch.tensor([1.0, 2.0, 9.0, 4.0]), torch.arange(4)
    assert make_outcomes(values, media, "x").value == 4.0
    assert make_outcomes(values, media, "x", statistic="median").value == 3.0
    assert make_outcomes(values, media, "x", weights=np.array([1.0, 0.0, 0.0, 3.0])).value == 13 / 4
    assert make_outcomes(values, media, "x", weights=np.zeros(4)).value == 0.0


def test_measured_numbers_are_a_dictionary_with_outcomes():
    rows = make_outcomes(torch.tensor([True, False]), torch.tensor([3, 5]), "accuracy", is_share=True)
    numbers = Measured({"accuracy": rows}, {"num_items": 2.0})
    assert numbers == {"accuracy": 0.5, "num_items": 2.0}
    assert read_outcomes(numbers) == {"accuracy": rows} and read_outcomes({"own": 1.0}) == {}


def test_media_get_the_names_that_another_run_knows():
    rows = make_outcomes(torch.ones(3), torch.tensor([0, 1, 1]), "x").name_media({0: "b", 1: "a"})
    assert rows.media.tolist() == ["b", "a", "a"]


def test_a_file_gives_back_the_outcomes(tmp_path):
    rows = {
        "test/d/m/accuracy": Outcomes(
            np.array([0.25, 1.0]), np.array(["a", "b"]), title="accuracy", is_share=True
        ),
        "test/d/m/rank": Outcomes(np.array([1.0, 2.0]), np.array(["a", "b"]), np.array([1.0, 2.0]), "median"),
    }
    write_outcomes(tmp_path / "new" / "o.npz", rows)
    found = load_outcomes(tmp_path / "new" / "o.npz")
    assert list(found) == list(rows)
    for name, one in rows.items():
        assert found[name].value == one.value and found[name].media.tolist() == one.media.tolist()
        assert (found[name].title, found[name].is_share, found[name].statistic) == (
            one.title,
            one.is_share,
            one.statistic,
        )
        assert (found[name].weights is None) == (one.weights is None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["o.npz"]


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_nothing_has_the_value_zero(statistic):
    assert Outcomes(np.zeros(0), np.zeros(0), statistic=statistic).value == 0.0
