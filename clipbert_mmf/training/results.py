"""The results of a run as rows: a number in words, its interval, chance, and what to know when reading it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clipbert_mmf.scoring.metrics import split_metric_name
from clipbert_mmf.scoring.outcomes import Outcomes
from clipbert_mmf.scoring.uncertainty import LEVEL, NUM_RESAMPLES, estimate_intervals
from clipbert_mmf.tasks.datasets import SPECS

#: A split of fewer media is called tiny.
FEW_MEDIA = 50
#: Counts that become a remark on the numbers of the same metric: end of the name -> sentence.
_REMARKS = {
    "num_unknown": "{} of the answers are not in the vocabulary",
    "num_ties": "{} ties, counted as misses",
}


@dataclass(frozen=True)
class Result:
    """One number of a final evaluation.

    Attributes:
        split: ``val`` or ``test``.
        dataset: name of the dataset.
        metric: short name, ``<metric>/<number>``.
        title: the number in words.
        value: the number.
        is_share: whether it is a share of 0 to 1, which people read in per cent.
        interval: its interval at 95 %, low and high; None where the metric tells no outcomes.
        chance: what guessing gives; None where it is not known.
        items: texts or media that the number is over.
        media: media that were resampled for the interval; None without one.
        unreadable: items that could not be read, and count as wrong.
        remark: what to know when reading the number; empty for nothing.
    """

    split: str
    dataset: str
    metric: str
    title: str
    value: float
    is_share: bool
    interval: tuple[float, float] | None
    chance: float | None
    items: int | None
    media: int | None
    unreadable: int | None
    remark: str

    def to_record(self) -> dict[str, Any]:
        """Return plain values, as ``metrics.jsonl`` keeps them."""
        return asdict(self)


def describe_results(
    numbers: Mapping[str, float], outcomes: Mapping[str, Outcomes], chances: Mapping[str, float]
) -> list[Result]:
    """Return the results of one dataset's evaluation; counts are told beside the numbers they belong to.

    Args:
        numbers: metrics by full name, ``<split>/<dataset>/<metric>/<number>``.
        outcomes: of the numbers that have some, by the same names, with the media's keys.
        chances: what guessing gives, by short name.
    """
    intervals = estimate_intervals(outcomes)
    results: list[Result] = []
    for name, value in numbers.items():
        split, dataset, metric = split_metric_name(name)
        number = metric.rpartition("/")[2]
        if _is_count(number):
            continue
        family = name.removesuffix(number)
        own = {
            other.removeprefix(family): count for other, count in numbers.items() if other.startswith(family)
        }
        counts = {other: count for other, count in own.items() if _is_count(other)}
        rows, interval = outcomes.get(name), intervals.get(name)
        results.append(
            Result(
                split,
                dataset,
                metric,
                _name_media(rows.title, dataset)
                if rows is not None and rows.title
                else number.replace("_", " "),
                value,
                rows is not None and rows.is_share,
                (interval.low, interval.high) if interval else None,
                chances.get(metric),
                _read_count(len(rows.values) if rows is not None else counts.get("num_items")),
                interval.num_media if interval else None,
                _read_count(counts.get("num_unreadable")),
                _remark(number, rows, counts),
            )
        )
    return results


def _name_media(title: str, dataset: str) -> str:
    """Return the title of a number in the words of its dataset: ``text to image`` for one of images."""
    spec = SPECS.get(dataset)
    return title if spec is None else re.sub(r"\bvideo\b", spec.media, title)


def _is_count(number: str) -> bool:
    """Return whether a number counts something, such as ``num_items`` and ``t2v_num_ties``."""
    return number.startswith("num_") or "_num_" in number


def _read_count(value: float | None) -> int | None:
    return None if value is None else int(value)


def _remark(number: str, rows: Outcomes | None, counts: Mapping[str, float]) -> str:
    remarks: list[str] = []
    if rows is not None:
        num_media = len(set(rows.media.tolist()))
        if num_media < FEW_MEDIA:
            remarks.append(f"tiny: {num_media} media, one of them is {100 / num_media:.0f} %")
    for name, count in counts.items():
        ending = next((end for end in _REMARKS if name.endswith(end)), None)
        direction = name.removesuffix(ending or "")
        if ending and count and number.startswith(direction) and (direction or number == "accuracy"):
            remarks.append(_REMARKS[ending].format(int(count)))
    return "; ".join(remarks)


def format_value(value: float, is_share: bool) -> str:
    """Return a share in per cent, another number with up to four digits."""
    return f"{100 * value:.1f} %" if is_share else f"{value:.4g}"


def format_interval(interval: Sequence[float] | None, is_share: bool) -> str:
    """Return ``12.0 to 31.5``, in per cent for a share; empty for None."""
    if interval is None:
        return ""
    low, high = (f"{100 * end:.1f}" if is_share else f"{end:.4g}" for end in interval)
    return f"{low} to {high}"


def format_results(results: Sequence[Result]) -> str:
    """Return the table that a run ends with, as aligned text."""
    several = len({result.dataset for result in results}) > 1
    header = ["split", *(["dataset"] if several else []), "metric", "value", f"{LEVEL:.0%} interval"]
    lines = [[*header, "chance", "items", "unreadable", "remark"]]
    told: set[tuple[str, str, str]] = set()
    for one in results:
        remark = (one.split, one.dataset, one.remark)
        lines.append(
            [
                one.split,
                *([one.dataset] if several else []),
                one.title,
                format_value(one.value, one.is_share),
                format_interval(one.interval, one.is_share),
                "" if one.chance is None else format_value(one.chance, one.is_share),
                "" if one.items is None else str(one.items),
                "" if one.unreadable is None else str(one.unreadable),
                "" if remark in told else one.remark,
            ]
        )
        told.add(remark)
    if not any(one.remark for one in results):
        lines = [line[:-1] for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    is_number = {"value", f"{LEVEL:.0%} interval", "chance", "items", "unreadable"}
    text = "\n".join(
        "  ".join(
            cell.rjust(width) if title in is_number else cell.ljust(width)
            for cell, width, title in zip(line, widths, lines[0], strict=True)
        ).rstrip()
        for line in lines
    )
    if any(one.interval for one in results):
        text += f"\nintervals: bootstrap over videos or images, each with all its texts, {NUM_RESAMPLES} resamples"
    return text
