"""An ablation's results as a table, ours and then the paper's, and as a figure. After ``run_ablation``, which runs the rows."""

from __future__ import annotations

from pathlib import Path


def format_value(name: str, value: float | None, is_share: bool) -> str:
    """Write a number as the paper does: shares in percent."""
    if value is None:
        return ""
    return f"{value * 100:.1f}" if is_share and "rank" not in name else f"{value:.4g}"


def make_table(entry: dict, rows: list[dict]) -> str:
    """Return a Markdown table, ours and then the paper's."""
    names = list(dict.fromkeys(name for row in rows for name in row["ours"] if name != "seconds"))
    shared = [name for name in names if any(name in row["paper"] for row in rows)]
    header = [*entry["columns"], *names, *(f"paper: {name}" for name in shared), "seconds"]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for row in rows:
        measured = {"max_memory_mib", "step_seconds"}
        ours = [format_value(name, row["ours"].get(name), name not in measured) for name in names]
        paper = [format_value(name, row["paper"].get(name), False) for name in shared]
        seconds = f"{row['ours']['seconds']:.0f}" if row["ours"] else "not run"
        lines.append(f"| {' | '.join([*row['label'], *ours, *paper, seconds])} |")
    return "\n".join(lines) + "\n"


def draw(heading: str, column: str, rows: list[dict], path: Path) -> None:
    """Draw a figure: a metric, or memory and time, against the first column of the rows that have a result."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if row["ours"]]
    cost = "step_seconds" in rows[0]["ours"]
    names = (
        ["max_memory_mib", "step_seconds"]
        if cost
        else [n for n in rows[0]["ours"] if n.startswith(("t2v_r", "qa"))]
    )
    figure, axes = plt.subplots(1, 2 if cost else 1, figsize=(9 if cost else 5.5, 3.8), squeeze=False)
    groups = (
        {
            "N_train (T = 1)": [r for r in rows if r["label"][-1] == "1"],
            "T (N_train = 1)": [r for r in rows if r["label"][0] == "1"],
        }
        if cost
        else {column: rows}
    )
    for name, axis in zip(names, axes[0] if cost else [axes[0][0]] * len(names)):
        for title, group in groups.items():
            places = [int(row["label"][title.startswith("T ")]) for row in group]
            axis.plot(places, [row["ours"][name] for row in group], marker="o", label=title if cost else name)
        axis.set_xscale("log", base=2)
        axis.set_xticks(places, [str(place) for place in places])
        axis.set_xlabel("clips or frames" if cost else column)
        axis.set_ylabel(
            {"max_memory_mib": "resident memory, MiB", "step_seconds": "seconds per update"}.get(
                name, "share"
            )
        )
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(heading)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
