"""The paper's tables and figures as rows of overrides, and their results as a table and a picture.

The rows stand in ``projects/clipbert/configs/ablations.yaml``; ``clipbert ablate`` runs them.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clipbert_mmf.configuration import ConfigurationError, parse_config
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.paths import project_dir
from clipbert_mmf.report.differences import describe_difference, find_interval, format_difference
from clipbert_mmf.scoring.outcomes import Outcomes

#: Frame size of the paper, pixels; ``image_size`` of a row is relative to it.
PAPER_FRAME_PX = 448
#: Frame sizes are multiples of it, and not below it, pixels.
_FRAME_STEP_PX = 16
#: Results that are no shares of something.
_COSTS = ("max_memory_mib", "step_seconds")


@dataclass(frozen=True)
class AblationRow:
    """One row of a table or figure.

    Attributes:
        label: one text for each of the table's columns.
        overrides: abbreviated key to value.
        paper: metric to the paper's number.
    """

    label: tuple[str, ...]
    overrides: dict[str, Any] = field(default_factory=dict)
    paper: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationTable:
    """One table or figure.

    Attributes:
        title: with its number in the paper.
        columns: titles of the labels.
        runs: ``each`` row trains and is tested, one model is trained ``once`` and tested by every row, or
            rows measure the ``cost`` of a few updates.
        defaults: overrides of every row, before its own.
        rows: name to row.
    """

    title: str
    columns: tuple[str, ...]
    runs: Literal["each", "once", "cost"]
    defaults: dict[str, Any]
    rows: dict[str, AblationRow]


@dataclass(frozen=True)
class AblationTask:
    """A dataset on which rows run.

    Attributes:
        dataset: registry key.
        metrics: name in the tables to name in ``metrics.jsonl``.
    """

    dataset: str
    metrics: dict[str, str]


@dataclass(frozen=True)
class AblationCorpus:
    """A kind of data on which rows run.

    Attributes:
        recipe: file of a dataset's configurations, without its ending.
        frame_px: frame size where the paper's is ``PAPER_FRAME_PX``.
        caption: sentence for the reader of a table.
    """

    recipe: str
    frame_px: int
    caption: str


@dataclass(frozen=True)
class Ablations:
    """The content of ``ablations.yaml``.

    Attributes:
        prefixes: beginning of an abbreviated key to the beginning of the configuration's key, with
            ``{dataset}``.
        tasks: by name.
        corpora: by name.
        tables: by name.
    """

    prefixes: dict[str, str]
    tasks: dict[str, AblationTask]
    corpora: dict[str, AblationCorpus]
    tables: dict[str, AblationTable]

    @property
    def weight_names(self) -> list[str]:
        """Names of the weights that rows need."""
        rows = [row.overrides for table in self.tables.values() for row in table.rows.values()]
        values = [value for overrides in rows for value in overrides.values()]
        return sorted(
            {value.strip("{}") for value in values if isinstance(value, str) and value.startswith("{")}
        )

    def write_overrides(
        self,
        overrides: Mapping[str, Any],
        dataset: str,
        frame_px: int = PAPER_FRAME_PX,
        files: Mapping[str, str] | None = None,
    ) -> list[str] | None:
        """Return overrides as options of ``mmf_run``.

        Args:
            overrides: abbreviated key to value.
            dataset: registry key.
            frame_px: frame size where the paper's is ``PAPER_FRAME_PX``.
            files: name to path of weights, for values such as ``{bert}``.

        Returns:
            ``KEY=VALUE`` texts, or None where a weights file is needed that is not given.

        Raises:
            ConfigurationError: for a key with an unknown beginning.
        """
        options = []
        for key, value in overrides.items():
            beginning, _, rest = key.partition(".")
            if beginning not in self.prefixes:
                allowed = ", ".join(sorted(self.prefixes))
                raise ConfigurationError(f"override '{key}' begins with '{beginning}'; allowed are {allowed}")
            if rest.endswith("image_size"):
                steps = round(value * frame_px / PAPER_FRAME_PX / _FRAME_STEP_PX)
                value = max(1, steps) * _FRAME_STEP_PX
            if isinstance(value, str) and value.startswith("{"):
                name = value.strip("{}")
                if name not in (files or {}):
                    return None
                value = (files or {})[name]
            place = self.prefixes[beginning].replace("{dataset}", dataset)
            options.append(f"{place}.{rest}={format_option(value)}")
        return options


def load_ablations(path: Path | None = None) -> Ablations:
    """Read the tables and figures of the paper.

    Args:
        path: YAML file; that of the package where it is None.

    Raises:
        ConfigurationError: for an unknown or a missing key, or a value of another type.
    """
    file = path or project_dir() / "clipbert" / "configs" / "ablations.yaml"
    return parse_config(Ablations, read_yaml(file), file.name)


def format_option(value: Any) -> str:
    """Write a value as MMF's command line reads it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class RowResult:
    """A row beside its result.

    Attributes:
        name: the row's name.
        row: as the file has it.
        ours: name to number, with ``seconds``, the mean over seeds; empty where the row has not run.
        spread: name to standard deviation over seeds; empty for one seed.
        intervals: name to the ends of the number's interval over media.
        difference: what ``describe_difference`` says about its first metric and that of the first row that ran.
        outcomes: name to what each text contributed, one for each seed.
    """

    name: str
    row: AblationRow
    ours: dict[str, float]
    spread: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    difference: dict[str, Any] | None = None
    outcomes: dict[str, list[Outcomes]] = field(default_factory=dict)


def summarize_row(
    name: str,
    row: AblationRow,
    ours: Sequence[Mapping[str, float]],
    outcomes: Sequence[Mapping[str, Outcomes]],
    before: Sequence[RowResult],
) -> RowResult:
    """Return the result of a row: means over seeds, their spread, intervals, and the difference to the first row.

    Args:
        name: the row's name.
        row: as the file has it.
        ours: name to number, for each seed that ran.
        outcomes: name to what each text contributed, for each of these seeds.
        before: the results of the rows above.
    """
    names = list(ours[0]) if ours else []
    kept = {key: [one[key] for one in outcomes if key in one] for key in (outcomes[0] if outcomes else {})}
    kept = {key: rows for key, rows in kept.items() if len(rows) == len(ours)}
    found = {key: find_interval(rows) for key, rows in kept.items()}
    first = next((one for one in before if one.outcomes), None)
    main = next(iter(kept), None)
    return RowResult(
        name,
        row,
        {key: statistics.mean(one[key] for one in ours) for key in names},
        {key: statistics.stdev(one[key] for one in ours) for key in names} if len(ours) > 1 else {},
        {key: ends for key, ends in found.items() if ends is not None},
        describe_difference(kept[main], first.outcomes.get(main, [])) if first and main else None,
        kept,
    )


def format_ablation_table(columns: Sequence[str], results: Sequence[RowResult]) -> str:
    """Return a Markdown table: our numbers with their uncertainty, then the paper's."""
    names = list(dict.fromkeys(name for one in results for name in one.ours if name != "seconds"))
    shared = [name for name in names if any(name in one.row.paper for one in results)]
    differs = any(one.difference for one in results)
    main = next((name for one in results for name in one.outcomes), "")
    header = [*columns, *names, *([f"{main}: above the first"] if differs else [])]
    header += [*(f"paper: {name}" for name in shared), "seconds"]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for one in results:
        ours = [_format_ours(name, one) for name in names]
        ours += [format_difference(one.difference)] if differs else []
        paper = [_format_number(name, one.row.paper.get(name), False) for name in shared]
        seconds = f"{one.ours['seconds']:.0f}" if one.ours else "not run"
        lines.append(f"| {' | '.join([*one.row.label, *ours, *paper, seconds])} |")
    notes = []
    if any(one.spread for one in results):
        notes.append("±: standard deviation over seeds.")
    if any(one.intervals for one in results):
        notes.append("In brackets: 95 % interval, a bootstrap over media, each with all its texts.")
    if differs:
        notes.append(
            "Above the first: the difference to the first row on the same items, with its interval; significant: "
            "p < 0.05 in a permutation test over media."
        )
    return "\n".join(lines) + "\n" + (f"\n{' '.join(notes)}\n" if notes else "")


def _format_ours(name: str, one: RowResult) -> str:
    is_share = name not in _COSTS
    text = _format_number(name, one.ours.get(name), is_share)
    if name in one.spread:
        text += f" ± {_format_number(name, one.spread[name], is_share)}"
    if name in one.intervals:
        low, high = (_format_number(name, end, is_share) for end in one.intervals[name])
        text += f" ({low} to {high})"
    return text


def _format_number(name: str, value: float | None, is_share: bool) -> str:
    """Write a number as the paper does: shares in percent."""
    if value is None:
        return ""
    return f"{value * 100:.1f}" if is_share and "rank" not in name else f"{value:.4g}"


def draw_ablation(title: str, column: str, results: Sequence[RowResult], path: Path) -> None:
    """Draw a figure: metrics, or memory and time, against the first column.

    Args:
        title: the figure's title.
        column: title of the first column.
        results: those without a result are left out; at least one has one.
        path: PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = [one for one in results if one.ours]
    is_cost = "step_seconds" in results[0].ours
    names = list(_COSTS) if is_cost else [n for n in results[0].ours if n.startswith(("t2v_r", "qa"))]
    figure, axes = plt.subplots(1, 2 if is_cost else 1, figsize=(9 if is_cost else 5.5, 3.8), squeeze=False)
    # Title of a line -> index of the label that is its place, and its rows.
    lines: dict[str, tuple[int, list[RowResult]]] = {column: (0, results)}
    if is_cost:
        lines = {
            "N_train (T = 1)": (0, [one for one in results if one.row.label[-1] == "1"]),
            "T (N_train = 1)": (1, [one for one in results if one.row.label[0] == "1"]),
        }
    units = {"max_memory_mib": "resident memory, MiB", "step_seconds": "seconds per update"}
    for number, name in enumerate(names):
        axis, ticks = axes[0][number if is_cost else 0], set[int]()
        for line, (label, group) in lines.items():
            places = [int(one.row.label[label]) for one in group]
            values = [one.ours[name] for one in group]
            axis.plot(places, values, marker="o", label=line if is_cost else name)
            ticks.update(places)
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(ticks), [str(place) for place in sorted(ticks)])
        axis.set_xlabel("clips or frames" if is_cost else column)
        axis.set_ylabel(units.get(name, "share"))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
