"""Keeps what each system reached, photo by photo, and makes tables with intervals and paired tests from it."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipbert_mmf.report.differences import describe_difference, find_interval
from clipbert_mmf.scoring.outcomes import Outcomes, load_outcomes, write_outcomes

#: Numbers of retrieval in the order of a table.
RETRIEVAL = tuple(f"{way}_{name}" for way in ("t2v", "v2t") for name in ("r1", "r5", "r10", "median_rank"))
#: Numbers that systems are tested on.
RECALLS = tuple(name for name in RETRIEVAL if not name.endswith("rank"))


@dataclass(frozen=True)
class Result:
    """What one system reached on one test with one seed.

    Attributes:
        system: its name in tables.
        test: what it was tested on, such as ``1000 x 5000``.
        seed: of its training; 0 where nothing is drawn.
        outcomes: by name of the number.
        minutes: of training and, in a first row, of extracting features; by name of the part.
        machine: cores or card.
        note: the setting, for a reader.
    """

    system: str
    test: str
    seed: int
    outcomes: Mapping[str, Outcomes]
    minutes: Mapping[str, float] = field(default_factory=dict[str, float])
    machine: str = ""
    note: str = ""


class ResultStore:
    """A folder of results, a file of outcomes and a description for each.

    Args:
        folder: made when something is kept.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def keep(self, result: Result) -> None:
        """Write a result; one of the same system, test and seed is replaced."""
        path = self._place(result.system, result.test, result.seed)
        write_outcomes(path, result.outcomes)
        about = {name: getattr(result, name) for name in ("system", "test", "seed", "machine", "note")}
        about["minutes"] = dict(result.minutes)
        path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def has(self, system: str, test: str, seed: int) -> bool:
        """Return whether there is such a result."""
        return self._place(system, test, seed).with_suffix(".json").is_file()

    def load(self, test: str) -> dict[str, list[Result]]:
        """Return the results of a test by system, in the order in which they were kept; seeds ascend."""
        files = sorted(
            (self.folder / make_file_name(test)).glob("*.json"),
            key=lambda path: (path.stat().st_mtime_ns, path),
        )
        found: dict[str, list[Result]] = {}
        for file in files:
            about = json.loads(file.read_text(encoding="utf-8"))
            outcomes = load_outcomes(file.with_suffix(".npz"))
            found.setdefault(about["system"], []).append(Result(outcomes=outcomes, **about))
        return {name: sorted(results, key=lambda one: one.seed) for name, results in found.items()}

    def tests(self) -> list[str]:
        """Return the tests that have results."""
        found = {
            json.loads(file.read_text(encoding="utf-8"))["test"] for file in self.folder.glob("*/*.json")
        }
        return sorted(found)

    def _place(self, system: str, test: str, seed: int) -> Path:
        return self.folder / make_file_name(test) / f"{make_file_name(system)}_seed{seed}.npz"


def make_file_name(text: str) -> str:
    """Return a name in lower case with letters, digits and single underscores alone."""
    kept = "".join(letter if letter.isalnum() else "_" for letter in text.lower())
    return "_".join(part for part in kept.split("_") if part)


def summarize(
    results: Mapping[str, Sequence[Result]], names: Sequence[str], against: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return a row for each system as plain values.

    Args:
        results: by system, one for each seed.
        names: numbers to tell.
        against: systems that every other one is tested against, media exchanged between the two.

    Returns:
        Rows with ``system``, ``seeds``, ``machine``, ``note``, ``minutes``, and ``numbers``: by name
        ``value``, ``std`` over seeds and ``interval`` over media; ``differences``: by the other system, by
        name, as ``describe_difference`` gives them.
    """
    rows: list[dict[str, Any]] = []
    for system, own in results.items():
        differences = {
            other: compare(own, results[other], [name for name in names if not name.endswith("rank")])
            for other in against
            if other in results and other != system
        }
        rows.append(
            {
                "system": system,
                "seeds": [one.seed for one in own],
                "machine": own[0].machine,
                "note": own[0].note,
                "minutes": _average_minutes(own),
                "numbers": {name: _tell(name, own) for name in names if name in own[0].outcomes},
                "differences": {other: found for other, found in differences.items() if found},
            }
        )
    return rows


def _tell(name: str, results: Sequence[Result]) -> dict[str, Any]:
    outcomes = [one.outcomes[name] for one in results]
    values = [one.value for one in outcomes]
    return {
        "value": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "interval": find_interval(outcomes),
    }


def compare(ours: Sequence[Result], theirs: Sequence[Result], names: Sequence[str]) -> dict[str, Any]:
    """Return the tested differences by name; a system of one seed stands beside each seed of the other."""
    count = max(len(ours), len(theirs))
    if {len(ours), len(theirs)} - {1, count}:
        count = min(len(ours), len(theirs))
    sides = [[side[number % len(side)] for number in range(count)] for side in (list(ours), list(theirs))]
    shared = [name for name in names if name in ours[0].outcomes and name in theirs[0].outcomes]
    return {
        name: describe_difference(*([one.outcomes[name] for one in side] for side in sides))
        for name in shared
    }


def _average_minutes(results: Sequence[Result]) -> dict[str, float]:
    parts = {name: None for one in results for name in one.minutes}
    return {name: statistics.fmean(one.minutes.get(name, 0.0) for one in results) for name in parts}


def describe_machine(device: str) -> str:
    """Return the card, or the processor and the number of cores that are used."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no card"
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' if cores > 1 else ''} of {name}"
