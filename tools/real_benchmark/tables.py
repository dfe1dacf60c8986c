"""Makes the JSON of ``docs/results`` from what the systems reached."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real_benchmark import clips, flickr8k, towers, trends
from real_benchmark.material import Material
from real_benchmark.published import LIST, list_published
from real_benchmark.systems import RETRIEVAL, Result, ResultStore, compare, summarize

#: Systems of Flickr8k that the others are tested against.
AGAINST = (
    "first stage",
    towers.SYSTEM,
    towers.LINEAR,
    "canonical correlation, head conv",
    "ridge, photos to captions, head conv",
)


@dataclass(frozen=True)
class Trend:
    """A claim of the paper: one system is above another.

    Attributes:
        table: of the paper.
        claim: in words.
        paper: the paper's numbers.
        better: system that the paper has above ``worse``.
        worse: the other.
        test: where both were tested.
        number: that is compared.
        is_level: whether the paper has both alike instead.
    """

    table: str
    claim: str
    paper: str
    better: str
    worse: str
    test: str = trends.TEST
    number: str = "accuracy"
    is_level: bool = False


_SINGLE, _RANDOM = "from ImageNet and MiniLM", "from random weights"
_TUNED = trends.BASE.system
_RISES = "R@1 rises to 16 clips"
TRENDS = (
    Trend("5", "image-text pre-training above ImageNet and a text encoder", "R@1 10.2, 7.2", _TUNED, _SINGLE),
    Trend("5", "ImageNet and a text encoder above random weights", "R@1 7.2, 0.3", _SINGLE, _RANDOM),
    Trend("6", "end to end (1e-5) above a frozen backbone", "R@1 10.2, 9.0", "end to end", _TUNED),
    Trend("6", "end to end (1e-4) above a frozen backbone", "R@1 10.2, 9.0", "end to end, faster", _TUNED),
    Trend(
        "6",
        "end to end above frozen features (Flickr8k)",
        "R@1 10.2, 8.0",
        "both stages",
        "first stage",
        flickr8k.name_test(flickr8k.ALL_PHOTOS),
        "t2v_r1",
    ),
    Trend("3", "lse above mean, two clips", "R@1 15.5, 13.3", _TUNED, "fold mean"),
    Trend("3", "lse above max, two clips", "R@1 15.5, 8.5", _TUNED, "fold max"),
    Trend("4", "two sparse random clips above one", "R@1 15.5, 12.7", _TUNED, "1 sparse random clip"),
    Trend(
        "4",
        "two sparse random clips as good as many dense uniform ones (here 8)",
        "R@1 15.5, 15.5",
        _TUNED,
        "8 dense uniform clips",
        is_level=True,
    ),
    Trend("figure 4", "eight test clips above one", _RISES, f"{_TUNED}, N_test 8", f"{_TUNED}, N_test 1"),
    *(
        Trend(
            "figure 4",
            f"eight test clips above one ({name} as it is)",
            _RISES,
            f"{name}, N_test 8",
            f"{name}, N_test 1",
            clips.TEST,
        )
        for name in ("first stage", "model of photos")
    ),
)


def run_part(part: str, material: Material, options: argparse.Namespace) -> None:
    """Write the JSON of everything that was measured."""
    del part
    store = ResultStore(material.work / "results")
    date = f"{datetime.date.today():%Y-%m-%d}"
    for name, content in (
        ("real_flickr8k", describe_flickr8k(store, material.work / "runs")),
        ("real_clips", describe_clips(store)),
        ("real_trends", {"trends": describe_trends(store), "rows": describe_variants(store)}),
    ):
        if any(content.values()):
            write_json(options.results / f"{name}.json", {"date": date, **content})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write values with at most six digits behind the point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_shorten(content), indent=1) + "\n", encoding="utf-8")


def _shorten(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _shorten(one) for key, one in value.items()}
    return [_shorten(one) for one in value] if isinstance(value, (list, tuple)) else value


def describe_flickr8k(store: ResultStore, runs: Path) -> dict[str, Any]:
    """Return the tables of retrieval by test, chance, the curves, and the published figures."""
    kept = [test for test in store.tests() if " x " in test]
    tests = {test: summarize(store.load(test), RETRIEVAL, AGAINST) for test in kept if "curve" not in test}
    if not tests:
        return {}
    curve = [row for test in kept if "curve" in test for row in summarize(store.load(test), RETRIEVAL)]
    return {
        "tests": tests,
        "chance": {test: flickr8k.count_chance(int(test.split()[0])) for test in tests},
        "curve": curve,
        "progress": list_progress(runs),
        "published": {"source": LIST, "rows": list_published()},
    }


def list_progress(runs: Path) -> list[dict[str, Any]]:
    """Return the validations of every training run: ``run``, ``minutes`` and ``points`` of update and R@1."""
    found: list[dict[str, Any]] = []
    for file in sorted(runs.glob("*_seed*/real_benchmark.json")):
        if "_test_" in file.parent.name or file.parent.name.startswith("clips_"):
            continue
        lines = [
            json.loads(line)
            for line in (file.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        points = [
            [line["update"], value]
            for line in lines
            if line["split"] == "val" and not line.get("final")
            for name, value in line["metrics"].items()
            if name.endswith("/t2v_r1")
        ]
        minutes = json.loads(file.read_text(encoding="utf-8"))["minutes"]
        found.append({"run": file.parent.name, "minutes": minutes, "points": points})
    return found


def describe_clips(store: ResultStore) -> dict[str, Any]:
    """Return the table of the clips, tested against the linear probe."""
    results = store.load(clips.TEST)
    return {"rows": summarize(results, ["accuracy"], [clips.PROBE]), "chance": 1 / 20 if results else 0}


def describe_variants(store: ResultStore) -> list[dict[str, Any]]:
    """Return the rows of the variants on clips."""
    return summarize(store.load(trends.TEST), ["accuracy"], [trends.BASE.system])


def describe_trends(store: ResultStore) -> list[dict[str, Any]]:
    """Return each claim of which both systems were measured: the paper's numbers, ours, and the tested difference."""
    found: list[dict[str, Any]] = []
    for trend in TRENDS:
        results = store.load(trend.test)
        if trend.better in results and trend.worse in results:
            better, worse = results[trend.better], results[trend.worse]
            difference = compare(better, worse, [trend.number])[trend.number]
            found.append(
                {
                    **vars(trend),
                    "ours": [_average(side, trend.number) for side in (better, worse)],
                    "seeds": [len(better), len(worse)],
                    "difference": difference,
                }
            )
    return found


def _average(results: Sequence[Result], name: str) -> float:
    return sum(one.outcomes[name].value for one in results) / len(results)
