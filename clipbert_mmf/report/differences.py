"""Differences between models on the same items, in words: value, interval, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clipbert_mmf.scoring.outcomes import Outcomes, average_outcomes
from clipbert_mmf.scoring.uncertainty import PairingError, compare_paired, estimate_intervals


def describe_difference(ours: Sequence[Outcomes], theirs: Sequence[Outcomes]) -> dict[str, Any] | None:
    """Return the difference of a number between two models as plain values; None where there is nothing to test.

    Args:
        ours: outcomes of the first model, one for each seed.
        theirs: of the second, with the same seeds.

    Returns:
        ``value`` (first minus second), ``interval`` (low and high), ``p_value``, ``is_significant``,
        ``is_share`` and ``problem``, which says why two results cannot be compared and is empty otherwise.
    """
    if not ours or not theirs:
        return None
    try:
        found = compare_paired(ours, theirs)
    except PairingError as error:
        return {"problem": str(error)}
    return {
        "value": found.value,
        "interval": [found.interval.low, found.interval.high],
        "p_value": found.p_value,
        "is_significant": found.is_significant,
        "is_share": ours[0].is_share,
        "problem": "",
    }


def format_difference(difference: dict[str, Any] | None) -> str:
    """Return ``-3.1 (-8.0 to 1.7), not significant``; points of per cent for shares, empty for None."""
    if difference is None:
        return ""
    if difference["problem"]:
        return f"not comparable: {difference['problem']}"
    scale, form = (100, "+.1f") if difference["is_share"] else (1, "+.3g")
    value, low, high = (format(scale * end, form) for end in (difference["value"], *difference["interval"]))
    verdict = "significant" if difference["is_significant"] else "not significant"
    return f"{value} ({low} to {high}), {verdict}"


def find_interval(several: Sequence[Outcomes]) -> list[float] | None:
    """Return the interval of a number, the mean over several models; None where it has none."""
    mean = average_outcomes(several) if several else None
    interval = estimate_intervals({"": mean}).get("") if mean is not None else None
    return [interval.low, interval.high] if interval else None
