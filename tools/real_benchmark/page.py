"""Writes the section of the real-data benchmark in ``docs/results.md``, and its pictures, from the JSON beside it.

``python tools/real_benchmark/page.py`` makes it again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN = "<!-- Made by tools/real_benchmark/page.py from docs/results/real_*.json: -->"
END = "<!-- End of what tools/real_benchmark/page.py makes. -->"
_RECALLS = ("r1", "r5", "r10")
_INTRODUCTION = (
    "`bash tools/real_benchmark.sh DATA --seeds 2` makes all of it from downloaded material; on a GPU with",
    "`--device cuda --curve --jobs 6`. `DATA/flickr8k` holds the photos of Flickr8k (Hodosh et al. 2013; here",
    "176 x 176 pixels) as `photos.tar` and Karpathy's `dataset_flickr8k.json` (6,000 train, 1,000 val, 1,000 test);",
    "`DATA/ucf20` clips of 20 actions of UCF101 (Soomro et al. 2012) as `clips.tar` and `clips.csv` (video, text,",
    "class, group). EfficientNet-Lite0 (ImageNet) and MiniLM are packages, see [weights](weights.md). Recipes:",
    "`projects/clipbert/configs/real`. In brackets: 95 % interval over photos, or groups of clips; behind ± the",
    "standard deviation over seeds. Linear maps are chosen on the validation photos. `head conv` is the mean over",
    "places behind Lite0's last convolution (1,280 channels), `last stage` that before it (320).",
)


def run_part(part: str, material: Any, options: argparse.Namespace) -> None:
    """Write the section of the page beside the folder of results."""
    del part, material
    write_page(options.results, options.results.parent / "results.md")


def write_page(results: Path, page: Path) -> None:
    """Put the section in its place in the page, or at the page's end.

    Args:
        results: folder with ``real_flickr8k.json`` and those of the other keys of ``_WRITERS``; what is not
            there is left out.
        page: changed in place.
    """
    found = {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name in _WRITERS
        if (file := results / f"real_{name}.json").is_file()
    }
    section = "\n".join([BEGIN, "", *_write_section(found, page.parent / "figures"), END])
    text = page.read_text(encoding="utf-8")
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        text = before + section + rest.partition(END)[2]
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    page.write_text(text, encoding="utf-8")


def _write_section(found: Mapping[str, Any], figures: Path) -> list[str]:
    date = max(content["date"] for content in found.values())
    lines = [f"## Real photos and clips, {date}", "", *_INTRODUCTION, ""]
    for name, write in _WRITERS.items():
        if name in found:
            lines += write(found[name], figures)
    return lines


def _write_flickr8k(content: Mapping[str, Any], figures: Path) -> list[str]:
    lines: list[str] = []
    for test, rows in sorted(content["tests"].items(), key=lambda one: -int(one[0].split()[0])):
        photos, captions = test.split(" x ")
        lines += [f"### Flickr8k, {photos} photos x {captions} captions of the official test", ""]
        lines += _table(
            [
                "system",
                "text to image R@1, 5, 10",
                "median",
                "image to text R@1, 5, 10",
                "median",
                "seeds",
                "minutes",
                "on",
                "ranked by",
            ],
            [["chance", *_tell_chance(content["chance"][test]), "", "", "", ""]]
            + [_tell_row(row) for row in rows],
        )
        lines += _write_differences(rows)
    lines += ["### Published before CLIP, 1000 x 5000", ""]
    lines += _table(
        ["system", "source", "text to image R@1, 5, 10", "image to text R@1, 5, 10"],
        [
            [row["system"], row["source"], *_tell_published(row["numbers"])]
            for row in content["published"]["rows"]
        ],
    )
    lines += [
        f"Figures of the {content['published']['source']}. Systems with regions use a detector that was trained on "
        "other, labelled photos; several train on larger pictures, and ours are 176 x 176 pixels.",
        "",
    ]
    if content["curve"]:
        _draw_candidates(content["curve"], figures / "real_candidates.png")
        lines += ["![recall against candidates](figures/real_candidates.png)", ""]
    if any(len(run["points"]) > 1 for run in content["progress"]):
        _draw_progress(content["progress"], figures / "real_progress.png")
        lines += ["![recall against minutes](figures/real_progress.png)", ""]
    return lines


def _tell_chance(numbers: Mapping[str, float]) -> list[str]:
    cells: list[str] = []
    for way in ("t2v", "v2t"):
        cells.append(", ".join(f"{100 * numbers[f'{way}_{name}']:.1f}" for name in _RECALLS))
        cells.append(f"{numbers[f'{way}_median_rank']:g}")
    return cells


def _tell_row(row: Mapping[str, Any]) -> list[str]:
    cells = [row["system"]]
    for way in ("t2v", "v2t"):
        cells.append(", ".join(_tell_share(row["numbers"][f"{way}_{name}"]) for name in _RECALLS))
        cells.append(f"{row['numbers'][f'{way}_median_rank']['value']:g}")
    return [*cells, _tell_seeds(row["seeds"]), _tell_minutes(row["minutes"]), row["machine"], row["note"]]


def _tell_share(number: Mapping[str, Any]) -> str:
    text = f"{100 * number['value']:.1f}"
    if number.get("std") is not None:
        text += f" ± {100 * number['std']:.1f}"
    if number.get("interval"):
        low, high = number["interval"]
        text += f" ({100 * low:.1f} to {100 * high:.1f})"
    return text


def _tell_seeds(seeds: Sequence[int]) -> str:
    return "none" if list(seeds) == [0] else ", ".join(map(str, seeds))


def _tell_minutes(minutes: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in minutes.items() if value >= 0.05) or "below 0.1"


def _tell_published(numbers: Mapping[str, float]) -> list[str]:
    return [
        ", ".join(
            f"{100 * numbers[key]:.1f}" if (key := f"{way}_{name}") in numbers else "-" for name in _RECALLS
        )
        for way in ("t2v", "v2t")
    ]


def _write_differences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of what trained systems are above another, number by number."""
    others = list(dict.fromkeys(other for row in rows if row["seeds"] != [0] for other in row["differences"]))
    lines: list[str] = []
    for other in others:
        told = [row for row in rows if row["seeds"] != [0] and other in row["differences"]]
        ways = [("text to image", "t2v"), ("image to text", "v2t")]
        lines += [f"Above {other}, points (95 % interval, paired over photos; * significant):", ""]
        lines += _table(
            ["system", *(f"{words} R@{name[1:]}" for words, _ in ways for name in _RECALLS)],
            [
                [
                    row["system"],
                    *(
                        tell_difference(row["differences"][other][f"{way}_{name}"])
                        for _, way in ways
                        for name in _RECALLS
                    ),
                ]
                for row in told
            ],
        )
    return lines


def tell_difference(difference: Mapping[str, Any] | None) -> str:
    """Return ``+4.7 (+3.1 to +6.2) *``; the star where it is significant."""
    if not difference or difference.get("problem"):
        return "not comparable"
    value, (low, high) = difference["value"], difference["interval"]
    star = " *" if difference["is_significant"] else ""
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}){star}"


def _write_clips(content: Mapping[str, Any], figures: Path) -> list[str]:
    del figures
    lines = ["### Clips of 20 actions (UCF101): which of 20 sentences?", ""]
    rows = [["chance", f"{100 * content['chance']:.1f}"]]
    lines += [
        *_table_clips(content["rows"], rows),
        "Intervals and tests draw groups: the clips of a person or source video count together.",
        "",
    ]
    return lines


def _table_clips(systems: Sequence[Mapping[str, Any]], first: Sequence[Sequence[str]] = ()) -> list[str]:
    """Return a table of accuracies, below rows of a name and a value."""
    others = list(dict.fromkeys(other for row in systems for other in row["differences"]))
    rows = [[*row, *[""] * (3 + len(others))] for row in first]
    for row in systems:
        differences = [row["differences"].get(other) for other in others]
        told = [tell_difference(one["accuracy"]) if one else "" for one in differences]
        minutes = _tell_minutes(row["minutes"]) if row["minutes"] else ""
        rows.append(
            [
                row["system"],
                _tell_share(row["numbers"]["accuracy"]),
                _tell_seeds(row["seeds"]),
                minutes,
                row["note"],
                *told,
            ]
        )
    head = ["system", "accuracy, %", "seeds", "minutes", "setting", *(f"above {other}" for other in others)]
    return _table(head, rows)


def _write_tried(content: Mapping[str, Any], figures: Path) -> list[str]:
    """Return the settings between which the recipe for clips was chosen; they are recorded by hand."""
    del figures
    rows = [[row["setting"], *(f"{value:.1f}" for value in row["halves"])] for row in content["rows"]]
    return [
        "### What was tried for the clips",
        "",
        content["text"],
        "",
        *_table(["setting", *content["columns"]], rows),
    ]


def _write_trends(content: Mapping[str, Any], figures: Path) -> list[str]:
    del figures
    rows: list[list[str]] = []
    for trend in content["trends"]:
        difference = trend["difference"]
        if not difference["is_significant"]:
            verdict = "not significant" + (", as in the paper" if trend.get("is_level") else "")
        else:
            is_above = difference["value"] > 0 and not trend.get("is_level")
            verdict = "as in the paper" if is_above else "against the paper"
        ours = ", ".join(f"{100 * value:.1f}" for value in trend["ours"])
        rows.append(
            [trend["table"], trend["claim"], trend["paper"], ours, tell_difference(difference), verdict]
        )
    head = ["table", "the paper's claim", "paper", "ours, %", "difference", "verdict"]
    return [
        "### The paper's ablations as trends",
        "",
        *_table(head, rows),
        "Ours are accuracies on the clips unless the claim says Flickr8k; the paper's R@1 are on MSR-VTT.",
        "",
        *_table_clips(content.get("rows", [])),
    ]


def _write_validation(content: Mapping[str, Any], figures: Path) -> list[str]:
    """Return figures of the validation photos, by which settings were chosen; they are recorded by hand."""
    del figures
    rows = [
        [
            row["system"],
            ", ".join(f"{value} ({low} to {high})" for value, low, high in row["t2v"]),
            f"{row['t2v_median_rank']:g}",
            ", ".join(f"{value} ({low} to {high})" for value, low, high in row["v2t"]),
            f"{row['v2t_median_rank']:g}",
            row["note"],
        ]
        for row in content["second"]
    ]
    tried = [
        [row["setting"], *(", ".join(map(str, row[way])) for way in ("t2v", "v2t")), row["note"]]
        for row in content["tried"]
    ]
    ways = ["text to image R@1, 5, 10", "image to text R@1, 5, 10"]
    return [
        "### Flickr8k, end to end, on the validation photos",
        "",
        "Seed 1 on the 1,000 **validation** photos, by which the settings were chosen; the test was not measured.",
        "",
        *_table(["system", ways[0], "median", ways[1], "median", "setting"], rows),
        "### What was tried for the first stage",
        "",
        "Each is one fit on the cached features, on the 1,000 validation photos, unless the note says more; a recall "
        "of the same setting differs by about 0.5 between seeds.",
        "",
        *_table(["setting", *ways, "note"], tried),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _draw_candidates(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw R@1, 5, 10 of both directions against the candidates that the cross-encoder ranks."""
    points = sorted((int(row["system"].rpartition("k = ")[2]), row["numbers"]) for row in rows)
    figure, axes = _open_figure(2)
    for axis, way, words in zip(axes, ("t2v", "v2t"), ("text to image", "image to text"), strict=True):
        for name in _RECALLS:
            values = [100 * numbers[f"{way}_{name}"]["value"] for _, numbers in points]
            axis.plot(range(len(points)), values, marker="o", label=f"R@{name[1:]}")
        axis.set_xticks(range(len(points)), [str(k) for k, _ in points])
        axis.set(title=words, xlabel="candidates that the cross-encoder ranks", ylabel="%")
        axis.legend()
    _save(figure, path)


def _draw_progress(progress: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw R@1 of the validation photos against the minutes of each run, as if its updates took equal times."""
    figure, (axis,) = _open_figure(1)
    for run in progress:
        points = run["points"]
        if len(points) > 1:
            last = max(1, points[-1][0])
            axis.plot(
                [run["minutes"] * update / last for update, _ in points],
                [100 * value for _, value in points],
                marker=".",
                label=run["run"].replace("_", " "),
            )
    axis.set(xlabel="minutes", ylabel="text to image R@1 on the validation photos, %")
    axis.legend()
    _save(figure, path)


#: Name of a file of results, behind ``real_`` -> writes its part of the page.
_WRITERS = {
    "flickr8k": _write_flickr8k,
    "validation": _write_validation,
    "clips": _write_clips,
    "clips_tried": _write_tried,
    "trends": _write_trends,
}


def _open_figure(panels: int) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * panels, 3.6), layout="constrained")
    return figure, [figure.add_subplot(1, panels, place + 1) for place in range(panels)]


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    docs = Path(__file__).resolve().parents[2] / "docs"
    write_page(docs / "results", docs / "results.md")
