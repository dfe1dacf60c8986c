"""Which of several datasets the next batch is from: section ``multitasking`` of the configuration, alike in both MMFs.

Comes before ``epoch_order``, which asks once per batch. Main has this section, with strategies of its own; the release
has only a switch between sizes and equal shares. Here the names mean the same in both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from clipbert_mmf.settings import read_setting

#: Types of ``multitasking`` that ``read_mixing`` reads itself.
KINDS = ("constant", "random", "ratios", "round_robin", "size_proportional")


class RoundRobin:
    """Takes each dataset in turn, from ``start_idx`` on."""

    def __init__(self, num_datasets: int, start: int = 0):
        self.num_datasets, self.next = num_datasets, start % num_datasets

    def __call__(self) -> int:
        choice, self.next = self.next, (self.next + 1) % self.num_datasets
        return choice


@dataclass(frozen=True)
class Mixing:
    """How batches of several datasets are mixed.

    Attributes:
        choose: returns the number of the next dataset, may draw from numpy's global generator; None takes the datasets
            one after the other.
        exhaust: whether each is read to its end once per epoch.
        about: what a resumed run compares; empty where sizes alone decide.
    """

    choose: Callable[[], int] | None = None
    exhaust: bool = True
    about: str = ""


def _draw(shares: Sequence[float]) -> Callable[[], int]:
    shares = np.asarray(shares, dtype=np.float64)
    return partial(np.random.choice, len(shares), p=shares / shares.sum())


def read_mixing(
    multitasking: Mapping[str, Any] | None, sizes: Mapping[str, int], fallback: Mixing = Mixing()
) -> Mixing:
    """Read ``multitasking.type`` and its ``params``.

    * ``size_proportional``: at random by size, each dataset once per epoch; also where there is no section.
    * ``ratios``: at random by ``params.sampling_ratios``, ``{dataset: number}``; 0 never trains on a dataset.
    * ``random``: at random, all alike.
    * ``round_robin``: in turn, from ``params.start_idx`` on.
    * ``constant``: dataset number ``params.idx`` to its end, then the others.

    Args:
        multitasking: the section, or None.
        sizes: items of each dataset, in the order of the run.
        fallback: for a type of the host's own, and for a host that has no section.

    Raises:
        ValueError: for an unknown type without ``fallback``, or ratios that miss a dataset or are no proportions.
    """
    if len(sizes) < 2:
        return Mixing()
    if not multitasking:
        return fallback if fallback.choose else Mixing(_draw(list(sizes.values())))
    if not read_setting(multitasking, "enabled", True):
        return Mixing(about="one after the other")
    kind, params = (
        read_setting(multitasking, "type", "size_proportional"),
        read_setting(multitasking, "params") or {},
    )
    if kind == "size_proportional":
        return Mixing(_draw(list(sizes.values())))
    if kind == "ratios":
        ratios = _read_ratios(read_setting(params, "sampling_ratios") or {}, sizes)
        return Mixing(_draw(ratios), False, f"ratios {ratios}")
    if kind == "random":
        return Mixing(_draw([1.0] * len(sizes)), False, kind)
    if kind == "round_robin":
        start = int(read_setting(params, "start_idx", 0))
        return Mixing(RoundRobin(len(sizes), start), False, f"{kind} from {start}")
    if kind == "constant":
        index = int(read_setting(params, "idx", 0))
        return Mixing(partial(next, itertools.repeat(index)), True, f"{kind} {index}")
    if fallback.choose is None:
        raise ValueError(f"multitasking.type is '{kind}'; allowed are {list(KINDS)}")
    return fallback


def _read_ratios(ratios: Mapping[str, Any], sizes: Mapping[str, int]) -> list[float]:
    missing = sorted(set(sizes) - set(ratios))
    if missing:
        raise ValueError(
            f"multitasking.params.sampling_ratios has {sorted(ratios)}; expected a number for {missing} too"
        )
    values = [float(ratios[name]) for name in sizes]
    if min(values) < 0 or not 0 < sum(values) < float("inf"):
        raise ValueError(
            f"multitasking.params.sampling_ratios is {dict(zip(sizes, values))}; expected numbers from 0, one above it"
        )
    return values
