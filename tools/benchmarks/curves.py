"""Formats and draws how numbers grow with a size, and with which power."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


@dataclass
class Curve:
    """Numbers against one size, all else kept.

    Attributes:
        name: what was measured.
        size: what grows.
        picture: name of the picture it is drawn in; curves of one picture share their columns.
        points: size to column to number; units stand in the names of the columns.
    """

    name: str
    size: str
    picture: str
    points: dict[float, dict[str, float]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Names of the numbers."""
        return list(next(iter(self.points.values())))

    def exponents(self, column: str) -> dict[float, float]:
        """Return, for each size but the first, the power of the size with which the number grew since the size before.

        1 is linear, 0 no growth.
        """
        sizes = sorted(self.points)
        return {
            after: math.log(self.points[after][column] / self.points[before][column])
            / math.log(after / before)
            for before, after in pairwise(sizes)
            if min(self.points[size][column] for size in (before, after)) > 0
        }


def format_curves(curves: list[Curve]) -> str:
    """Return Markdown tables, one per picture.

    Each number with the power it grew with since the row before.
    """
    tables = []
    for picture in dict.fromkeys(curve.picture for curve in curves):
        drawn = [curve for curve in curves if curve.picture == picture]
        columns = drawn[0].columns
        lines = ["| " + " | ".join(["curve", "size", *columns]) + " |", "| --- " * (2 + len(columns)) + "|"]
        for curve in drawn:
            powers = {column: curve.exponents(column) for column in columns}
            for size in sorted(curve.points):
                cells = [_show(curve.points[size][column], powers[column].get(size)) for column in columns]
                lines.append("| " + " | ".join([curve.name, f"{curve.size} {_count(size)}", *cells]) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _count(size: float) -> str:
    return f"{int(size):,}" if size == int(size) else f"{size:g}"


def _show(number: float, power: float | None) -> str:
    text = f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
    return text if power is None else f"{text} (^{power:.2f})"


def draw_curves(curves: list[Curve], folder: Path) -> list[Path]:
    """Draw each picture's curves, one panel per column, both axes logarithmic.

    Dotted lines would be linear growth.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for picture in dict.fromkeys(curve.picture for curve in curves):
        drawn = [curve for curve in curves if curve.picture == picture]
        columns = drawn[0].columns
        size = (3.6 * len(columns), 3.2)
        figure, panels = pyplot.subplots(1, len(columns), figsize=size, squeeze=False, layout="constrained")
        for column, panel in zip(columns, panels[0], strict=True):
            for curve in drawn:
                sizes = sorted(curve.points)
                # Against the smallest size: curves over 1 to 8 clips and 224 to 640 pixels fit one panel.
                times = [size / sizes[0] for size in sizes] if len(drawn) > 1 else sizes
                numbers = [curve.points[size][column] for size in sizes]
                (line,) = panel.plot(times, numbers, marker="o", markersize=4, label=curve.name)
                linear = [numbers[0] * size / sizes[0] for size in sizes]
                panel.plot(times, linear, ":", color=line.get_color(), alpha=0.4)
            panel.set_xscale("log", base=2)
            panel.set_yscale("log", base=2)
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:.3g}" if value < 1e3 else f"{value:,.0f}")
            panel.set_xlabel(drawn[0].size if len(drawn) == 1 else "times the smallest size")
            panel.set_title(column, fontsize=10)
            panel.grid(alpha=0.25)
        if len(drawn) > 1:
            panels[0][0].legend(frameon=False, fontsize=8)
        paths.append(folder / f"growth_{picture}.png")
        figure.savefig(paths[-1], dpi=90)
        pyplot.close(figure)
    return paths
