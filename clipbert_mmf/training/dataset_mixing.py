"""Chooses which of several datasets the next batch is from: section ``multitasking``, alike in both MMFs.

MMF's main has this section, with strategies of its own; the release has only a switch between sizes and equal
shares. Here the names mean the same in both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from clipbert_mmf.configuration import ConfigurationError, suggest
from clipbert_mmf.training.options import MixingOptions

#: Values of ``multitasking.type`` that ``make_mixing`` knows itself.
KINDS = ("constant", "random", "ratios", "round_robin", "size_proportional")


class RoundRobin:
    """Takes each dataset in turn, from ``start_idx`` on."""

    def __init__(self, num_datasets: int, start: int = 0) -> None:
        self.num_datasets, self.next = num_datasets, start % num_datasets

    def __call__(self) -> int:
        """Return the number of the next dataset."""
        choice, self.next = self.next, (self.next + 1) % self.num_datasets
        return choice


@dataclass(frozen=True)
class Mixing:
    """Holds how batches of several datasets are mixed.

    Attributes:
        choose: returns the number of the next dataset, may draw from numpy's global generator; None takes the
            datasets one after the other.
        exhaust: whether each is read to its end once per epoch.
        about: what a resumed run compares; empty where sizes alone decide.
    """

    choose: Callable[[], int] | None = None
    exhaust: bool = True
    about: str = ""


def _draw(shares: Sequence[float]) -> Callable[[], int]:
    weights = np.asarray(shares, dtype=np.float64)
    return partial(np.random.choice, len(weights), p=weights / weights.sum())


def make_mixing(
    options: MixingOptions | None, sizes: Mapping[str, int], fallback: Mixing | None = None
) -> Mixing:
    """Return how the batches of several datasets are mixed.

    * ``size_proportional``: at random by size, each dataset once per epoch; also where there is no section.
    * ``ratios``: at random by ``params.sampling_ratios``, ``{dataset: number}``; 0 never trains on a dataset.
    * ``random``: at random, all alike.
    * ``round_robin``: in turn, from ``params.start_idx`` on.
    * ``constant``: dataset number ``params.idx`` to its end, then the others.

    Args:
        options: section ``multitasking``; None where there is none.
        sizes: items of each dataset, in the order of the run.
        fallback: mixes where the type is the host's own, or the host has no section.

    Raises:
        ConfigurationError: for an unknown type without ``fallback``, or ratios that miss a dataset or are no
            proportions.
    """
    if len(sizes) < 2:
        return Mixing()
    if options is None:
        return fallback or Mixing(_draw(list(sizes.values())))
    if not options.enabled:
        return Mixing(about="one after the other")
    kind, params = options.type, options.params or {}
    if kind == "size_proportional":
        return Mixing(_draw(list(sizes.values())))
    if kind == "ratios":
        ratios = _check_ratios(params.get("sampling_ratios") or {}, sizes)
        return Mixing(_draw(ratios), False, f"ratios {ratios}")
    if kind == "random":
        return Mixing(_draw([1.0] * len(sizes)), False, kind)
    if kind == "round_robin":
        start = int(params.get("start_idx", 0))
        return Mixing(RoundRobin(len(sizes), start), False, f"{kind} from {start}")
    if kind == "constant":
        index = int(params.get("idx", 0))
        return Mixing(partial(next, itertools.repeat(index)), True, f"{kind} {index}")
    if fallback is None:
        raise ConfigurationError(
            f"multitasking.type is '{kind}'{suggest(kind, KINDS)}; allowed are {', '.join(KINDS)}"
        )
    return fallback


def _check_ratios(ratios: Mapping[str, Any], sizes: Mapping[str, int]) -> list[float]:
    missing = sorted(set(sizes) - set(ratios))
    if missing:
        raise ConfigurationError(
            f"multitasking.params.sampling_ratios has {sorted(ratios)}; expected a number for {missing} too"
        )
    values = {name: float(ratios[name]) for name in sizes}
    if min(values.values()) < 0 or not 0 < sum(values.values()) < float("inf"):
        raise ConfigurationError(
            f"multitasking.params.sampling_ratios is {values}; expected numbers from 0, one above it"
        )
    return list(values.values())
