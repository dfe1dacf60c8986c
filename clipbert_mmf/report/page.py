"""Make one HTML page of a run's folder that opens anywhere: no script, no network, everything inside."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import clipbert_mmf
from clipbert_mmf.configuration import suggest
from clipbert_mmf.extras import import_extra
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.report.differences import describe_difference, format_difference
from clipbert_mmf.report.examples import RunMedia, choose_examples, illustrate
from clipbert_mmf.report.pictures import draw_curves
from clipbert_mmf.report.run_record import RunRecord, read_run_record
from clipbert_mmf.scoring.metrics import split_metric_name
from clipbert_mmf.tasks.examples import Example
from clipbert_mmf.tasks.task import TASKS
from clipbert_mmf.training.results import Result, format_interval, format_value
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.failures import parse_window
from clipbert_mmf.video.sampling import describe_span
from clipbert_mmf.writing import naming

#: Answers that the table of confusions names.
_MAX_CONFUSED = 8
_LIBRARIES = ("torch", "torchvision", "transformers", "mmf", "av", "numpy")


def make_report(
    run_dir: str | Path,
    baselines: Sequence[str | Path] = (),
    data_dir: str | Path | None = None,
    num_examples: int = 3,
    dataset: str | None = None,
    saliency: str | None = None,
    progress: Callable[[Iterable[Example]], Iterable[Example]] = lambda examples: examples,
) -> str:
    """Return the page of a run.

    Args:
        run_dir: folder of the run.
        baselines: folders of earlier runs, for the table of metrics.
        data_dir: directory of the dataset, if it was moved.
        num_examples: number of best predictions to show, and of worst.
        dataset: dataset whose predictions to show, for a run over several; None shows the newest.
        saliency: how saliency is measured, a key of ``SALIENCY_METHODS``; None chooses by the model's grid.
        progress: wraps the examples while they are drawn, such as ``tqdm``.

    Raises:
        FileNotFoundError: if a folder is not that of a run.
        ValueError: if the run has no such dataset.
        ImportError: if Jinja2 or matplotlib is not installed.
    """
    import_extra("jinja2", "report", "a report needs Jinja2")
    import_extra("matplotlib", "report", "a report needs matplotlib")
    from jinja2 import Environment, PackageLoader, StrictUndefined

    run, others = read_run_record(run_dir, dataset), [read_run_record(path, dataset) for path in baselines]
    known = [name.strip() for name in run.datasets.split(",")]
    if dataset is not None and not run.predictions and dataset not in known:
        raise ValueError(f"{run.folder} has no dataset '{dataset}'{suggest(dataset, known)}; it has {known}")
    environment = Environment(
        loader=PackageLoader("clipbert_mmf.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _show_number
    examples, no_examples = _illustrate_all(run, data_dir, num_examples, saliency, progress)
    return environment.get_template("page.html.j2").render(
        run=run,
        title=f"ClipBERT on {run.datasets}",
        about=run.describe(),
        version=clipbert_mmf.__version__,
        curves=_draw_all(run),
        summary=_summarize(run),
        table=_compare(run, others),
        others=others,
        types=_count_types(run),
        confusions=_confuse(run),
        examples=examples,
        no_examples=no_examples,
        health=_describe_health(run),
        config=yaml.safe_dump(run.config, sort_keys=False) if run.config else "",
        environment=_describe_environment(),
    )


def write_report(run_dir: str | Path, out: str | Path | None = None, **options: Any) -> Path:
    """Write the page of ``make_report``; by default ``report.html`` in the run's folder. Returns its path."""
    path = Path(out) if out else Path(run_dir) / "report.html"
    page = make_report(run_dir, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        path.write_text(page, encoding="utf-8")
    return path


def _show_number(value: float) -> str:
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def _draw_all(run: RunRecord) -> list[dict[str, str]]:
    """Return title, description and picture of each curve that the run has points for."""
    several = "," in run.datasets
    shares = {one.metric: one.title for one in run.final_results() if one.is_share}

    def collect(
        split: str, section: str, wanted: Callable[[str], bool]
    ) -> dict[str, tuple[list[float], list[float]]]:
        found: dict[str, tuple[list[float], list[float]]] = {}
        for record in run.records:
            if record.get("split") != split or record.get("final"):
                continue
            for name, value in (record.get(section) or {}).items():
                if wanted(name) and isinstance(value, (int, float)) and math.isfinite(value):
                    _, dataset, metric = split_metric_name(name)
                    title = shares.get(metric) or _shorten(metric)
                    points = found.setdefault(f"{dataset} {title}" if several else title, ([], []))
                    points[0].append(record.get("update", 0))
                    points[1].append(100 * value if metric in shares else value)
        return found

    losses = collect("train", "losses", lambda name: not name.endswith("total_loss"))
    names = {f"{task.metric}/{number}" for task in TASKS.values() for number in task.curves}
    metrics = collect("val", "metrics", lambda name: split_metric_name(name)[2] in names)
    in_percent = bool(metrics) and all(any(title in name for title in shares.values()) for name in metrics)
    pictures = []
    for title, curves, label in (
        ("Training loss", losses, "loss"),
        ("Validation", metrics, "per cent" if in_percent else "metric"),
    ):
        if curves:
            unit = " %" if label == "per cent" else ""
            last = "; ".join(f"{name} ends at {values[-1]:.4g}{unit}" for name, (_, values) in curves.items())
            pictures.append({"title": title, "about": last, "svg": draw_curves(curves, label)})
    return pictures


def _summarize(run: RunRecord) -> dict[str, Any] | None:
    """Return the main number beside chance, or None where there are no predictions."""
    if run.task is None:
        return None
    main = run.task.main_metric
    result = next((one for one in run.final_results() if one.metric == main), None)
    if result is None:
        return None
    chance = run.task.guess_from_predictions(run.predictions) if result.chance is None else result.chance
    times = run.task.compare_with_chance(result.value, chance)
    return {**_show_result(result), "chance": format_value(chance, result.is_share), "times": times}


def _shorten(metric: str) -> str:
    return metric.removeprefix("clipbert_")


def _show_result(result: Result) -> dict[str, Any]:
    """Return a result as the template reads it."""
    return {
        "title": result.title,
        "metric": _shorten(result.metric),
        "value": format_value(result.value, result.is_share),
        "interval": format_interval(result.interval, result.is_share),
        "chance": "" if result.chance is None else format_value(result.chance, result.is_share),
        "items": result.items,
        "remark": result.remark,
    }


def _compare(run: RunRecord, others: list[RunRecord]) -> list[dict[str, Any]]:
    """Return the results of the run, each with those of the others: value, interval, difference to the run."""
    runs = [run, *others]
    results = [{one.metric: one for one in each.final_results()} for each in runs]
    outcomes = [one.read_outcomes(one.final_split) if others else {} for one in runs]

    def make_cell(number: int, name: str) -> dict[str, Any] | None:
        if name not in results[number]:
            return None
        difference = None
        if name in outcomes[0] and name in outcomes[number]:
            difference = describe_difference([outcomes[0][name]], [outcomes[number][name]])
        return {**_show_result(results[number][name]), "difference": format_difference(difference)}

    return [
        {**_show_result(one), "others": [make_cell(number, name) for number in range(1, len(runs))]}
        for name, one in results[0].items()
    ]


def _count_types(run: RunRecord) -> list[tuple[str, int, float]]:
    rows: dict[str, list[float]] = {}
    for record in run.predictions:
        if record.get("answer_type"):
            rows.setdefault(record["answer_type"], []).append(record["correct"])
    return [
        (name, len(right), sum(right) / len(right))
        for name, right in sorted(rows.items(), key=lambda row: -len(row[1]))
    ]


def _confuse(run: RunRecord) -> dict[str, Any] | None:
    """Return how often each answer was given for each of the most frequent correct ones."""
    pairs = Counter(
        (str(record["target"]), str(record["answers"][0]["answer"]))
        for record in run.predictions
        if record.get("answers") and not isinstance(record.get("target"), dict)
    )
    if not pairs:
        return None
    totals: Counter = Counter()
    for (target, _), count in pairs.items():
        totals[target] += count
    names = [name for name, _ in totals.most_common(_MAX_CONFUSED)]
    rows = []
    for target in names:
        counts = [pairs[target, given] for given in names]
        rows.append((target, [*counts, totals[target] - sum(counts)], totals[target]))
    return {"names": names, "rows": rows}


def _illustrate_all(
    run: RunRecord,
    data_dir: str | Path | None,
    count: int,
    saliency: str | None,
    progress: Callable[[Iterable[Example]], Iterable[Example]],
) -> tuple[list[dict[str, Any]], str]:
    """Return the examples with their evidence, and the reason where there are none."""
    examples = choose_examples(run, count)
    if not examples:
        return [], ""
    try:
        media = RunMedia(run, data_dir)
        model = ClipBert.from_pretrained(run.folder, dataset=run.dataset)
        media.store.handle  # noqa: B018  opens it: an error belongs here, not at the first picture
    except (MediaError, OSError, ValueError, KeyError) as error:
        return [], f"The model or its media could not be opened: {error}. Give --data-dir if they were moved."
    try:
        return [illustrate(model, media, example, saliency) for example in progress(examples)], ""
    except ImportError as error:
        return [], str(error)


def _describe_health(run: RunRecord) -> dict[str, Any]:
    unreadable = {_name_part(record) for record in run.predictions if not record["readable"]}
    durations = [record["clips"][-1]["end_sec"] for record in run.predictions if record.get("clips")]
    durations = [value for value in durations if value is not None]
    return {
        "training": [
            (_name_part(entry, "key") if "key" in entry else "", entry.get("reason", ""))
            for entry in run.unreadable
        ],
        "evaluation": sorted(unreadable),
        "span": (min(durations), max(durations)) if durations else None,
        "num_media": len({record["media_id"] for record in run.predictions}),
    }


def _name_part(record: dict[str, Any], key: str = "media_id") -> str:
    """Return the name of a medium, with the times of the part that a record is about."""
    window_sec = parse_window(record.get("segment_sec"))
    return record[key] if window_sec is None else f"{record[key]} {describe_span(*window_sec)}"


def _describe_environment() -> list[tuple[str, str]]:
    rows = [
        ("clipbert_mmf", clipbert_mmf.__version__),
        ("Python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}"),
    ]
    for name in _LIBRARIES:
        try:
            rows.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return rows
