"""Rows of a benchmark: measured side by side in one run, printed as a table, written as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One case.

    Attributes:
        case: what was measured.
        peer: what it is compared with.
        peer_ms: median of the peer.
        ours_ms: median of ours.
        ratio: peer over ours, the median over rounds; more is better.
        goal: smallest ratio that meets the goal, or 0 where there is none.
        unit: common to both numbers.
    """

    case: str
    peer: str
    peer_ms: float
    ours_ms: float
    ratio: float
    goal: float = 0.0
    unit: str = "ms"

    @property
    def is_met(self) -> bool:
        """Tell whether the goal, if there is one, is reached."""
        return self.ratio >= self.goal


#: ``cpu`` counts what one thread computes: on a busy machine, and with one thread, it says more than the
#: wall's.
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def compare(
    case: str,
    peer: str,
    run_peer: Callable,
    run_ours: Callable,
    goal: float,
    rounds: int,
    clock: str = "wall",
) -> Row:
    """Time both in turn, so that a busy moment of the machine meets both.

    The median ratio of a round counts.
    """
    if rounds > 1:  # a single round is for what takes so long that a first call makes no difference
        run_peer(), run_ours()
    peer_sec, ours_sec = [], []
    for _ in range(rounds):
        peer_sec.append(measure_seconds(run_peer, clock))
        ours_sec.append(measure_seconds(run_ours, clock))
    peer_ms, ours_ms = (1e3 * statistics.median(values) for values in (peer_sec, ours_sec))
    ratio = statistics.median(theirs / ours for theirs, ours in zip(peer_sec, ours_sec, strict=True))
    return Row(case, peer, round(peer_ms, 3), round(ours_ms, 3), round(ratio, 2), goal)


def measure_seconds(call: Callable, clock: str = "wall") -> float:
    """Return how long one call takes, by a key of ``CLOCKS``."""
    now = CLOCKS[clock]
    _wait_for_device()
    start = now()
    call()
    _wait_for_device()
    return now() - start


def _wait_for_device() -> None:
    # A GPU still computes when a call returns. The data benchmark does without torch.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def format_rows(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| case | peer | peer | ours | ratio | goal | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        goal, met = (f"{row.goal:g}x", "yes" if row.is_met else "NO") if row.goal else ("-", "-")
        numbers = f"{row.peer_ms:.1f} {row.unit} | {row.ours_ms:.1f} {row.unit} | {row.ratio:.2f}x"
        lines.append(f"| {row.case} | {row.peer} | {numbers} | {goal} | {met} |")
    return "\n".join(lines)


def write_json(path: Path, name: str, rows: list[Row], **facts) -> None:
    """Write rows and the machine they were measured on."""
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    content = {
        "benchmark": name,
        **machine,
        **facts,
        "rows": [asdict(row) | {"met": row.is_met} for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
