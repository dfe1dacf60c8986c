"""A difference is a sentence: value, interval, verdict; or the reason why there is none."""

import numpy as np
import pytest

from clipbert_mmf.report.differences import describe_difference, find_interval, format_difference
from clipbert_mmf.scoring.outcomes import Outcomes

MEDIA = np.arange(50)
BETTER, WORSE = (Outcomes((count > MEDIA).astype(float), MEDIA, is_share=True) for count in (40, 10))


def test_a_difference_of_shares_is_in_points_of_per_cent():
    found = describe_difference([BETTER], [WORSE])
    text = format_difference(found)
    assert text.startswith("+60.0 (+") and text.endswith("), significant") and found["p_value"] < 0.01
    same = format_difference(describe_difference([BETTER], [BETTER]))
    assert same == "+0.0 (+0.0 to +0.0), not significant"


def test_other_numbers_keep_their_unit():
    ranks = [Outcomes(MEDIA + shift, MEDIA) for shift in (0.0, 2.5)]
    assert format_difference(describe_difference([ranks[0]], [ranks[1]])).startswith("-2.5 (-2.5 to -2.5)")


def test_what_cannot_be_compared_says_why():
    other = Outcomes(np.ones(50), MEDIA + 1)
    assert format_difference(describe_difference([BETTER], [other])).startswith(
        "not comparable: the results are not"
    )
    assert describe_difference([], [BETTER]) is None and format_difference(None) == ""


def test_an_interval_over_seeds_is_that_of_their_mean():
    low, high = find_interval([BETTER, WORSE])
    assert low < 0.5 < high and find_interval([]) is None
    single = find_interval([BETTER])
    assert single[0] < 0.8 < single[1] == pytest.approx(0.9, abs=0.03)
