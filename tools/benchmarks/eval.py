"""Measure what retrieval costs and finds: all pairs, early fusion of clips, and two stages.

Checked, measured, reckoned up.

Times are seconds of one CPU thread, so that other work on the machine counts little. Unit costs are of the
full-size model with random weights; quality is of trained runs (``--run``, ``--concat``). Where an option
that must not change the result changes it, the program ends. GPU times are reckoned from FLOPs and stated as
such: none was measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.eval_checks import check_exactness
from benchmarks.eval_corpus import Corpus, load_corpus, make_corpus
from benchmarks.eval_costs import estimate, format_estimates, measure_units, time_cpu
from benchmarks.table import Row, format_rows, write_json
from clipbert_mmf.retrieval.blocks import Block
from clipbert_mmf.retrieval.matrix import PairScorer, list_blocks, score_blocks
from clipbert_mmf.retrieval.two_stage import choose_candidates, compare_embeddings
from clipbert_mmf.scoring.ranking import match_margin, summarize_retrieval

PARTS = ("ways", "units")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``benchmark.py eval``."""
    parser.add_argument(
        "--run", type=Path, default=Path("save/scale/joint"), help="a run trained with a contrastive head"
    )
    parser.add_argument("--concat", type=Path, help="a run trained with clip_fusion: concat")
    parser.add_argument("--plain", type=Path, help="a run trained without either, for comparison")
    parser.add_argument(
        "--cache", type=Path, default=Path("save/benchmark_media"), help="folder of generated files"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("save/benchmark_eval.json"),
        help="JSON to write; Markdown and picture are written beside it",
    )
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of a unit cost; the least counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        help="ways: quality and cost of trained runs; units: costs of the full-size model",
    )
    parser.add_argument("--quick", action="store_true", help="small random networks: checks that it runs")


def score(corpus: Corpus, chosen: torch.Tensor | None = None) -> torch.Tensor:
    """Return the ``(V, N, 2)`` scores of the chosen pairs, all for None; 0 elsewhere."""
    scorer = PairScorer(corpus.network, corpus.tokens, corpus.visual[0].shape[1])
    matrix = torch.zeros(*corpus.matches.shape, 2)
    blocks: list[Block] = list_blocks(scorer, torch.zeros_like(corpus.matches), chosen)
    encoded = ((video, corpus.visual[video]) for video in dict.fromkeys(block.video for block in blocks))

    def keep(video: int, texts: torch.Tensor, scores: torch.Tensor) -> None:
        matrix[video].index_copy_(0, texts, scores)

    score_blocks(
        scorer,
        blocks,
        encoded,
        keep,
        chosen,
    )
    return matrix


def embed(corpus: Corpus) -> torch.Tensor:
    """Return the ``(V, N)`` similarity of a corpus."""
    texts = PairScorer(corpus.network, corpus.tokens, corpus.visual[0].shape[1]).embed_texts()
    videos = torch.cat([corpus.network.embed_videos(visual) for visual in corpus.visual])
    return compare_embeddings(videos, texts, torch.ones(len(videos)))


def describe(
    title: str, corpus: Corpus, scores: torch.Tensor, sec: float, num_pairs: int, candidates=None
) -> dict:
    """Return one line of the comparison."""
    readable = torch.ones(len(corpus.matches), dtype=torch.bool)
    ranks = summarize_retrieval(match_margin(scores), corpus.matches, readable, candidates)
    numbers = {
        f"{way}_{key}": value
        for way, summary in zip(("t2v", "v2t"), ranks, strict=True)
        for key, value in (
            ("r1", summary.recall[1]),
            ("r5", summary.recall[5]),
            ("mean_rank", summary.mean_rank),
        )
    }
    return {"way": title, "pairs": num_pairs, "cpu_sec": sec, **numbers}


def compare_ways(corpus: Corpus, others: dict[str, Corpus], rounds: int) -> list[dict]:
    """Return a line for all pairs, for each other model, and for each k.

    K of all must be the exact result.
    """
    exact, sec = repeat(lambda: score(corpus), rounds)
    lines = [describe("all pairs", corpus, exact, sec, corpus.matches.numel())]
    for title, other in others.items():
        scores, other_sec = repeat(partial(score, other), rounds)
        lines.append(describe(title, other, scores, other_sec, other.matches.numel()))
    similarity, embed_sec = repeat(lambda: embed(corpus), rounds)
    most = max(corpus.matches.shape)
    scores = torch.empty(0)
    for top_k in [k for k in (1, 2, 3, 5, 10, 20) if k < most] + [most]:
        chosen = choose_candidates(similarity, top_k)
        scores, sec = repeat(partial(score, corpus, chosen[0] | chosen[1]), rounds)
        num_pairs = int((chosen[0] | chosen[1]).sum())
        lines.append(
            {
                **describe(f"top {top_k}", corpus, scores, sec + embed_sec, num_pairs, (similarity, *chosen)),
                "k": top_k,
            }
        )
    if not torch.equal(scores, exact) or any(
        lines[-1][key] != lines[0][key] for key in lines[0] if "_r" in key
    ):
        raise SystemExit("k of all is not the exact result")
    return lines


def repeat(call: Callable[[], torch.Tensor], rounds: int) -> tuple[torch.Tensor, float]:
    """Return a result and the least CPU time of some calls."""
    results = [time_cpu(call) for _ in range(rounds)]
    return results[0][0], min(sec for _, sec in results)


def format_lines(lines: list[dict]) -> str:
    """Return the comparison as a Markdown table."""
    head = "| way | pairs | CPU seconds | R@1 text to video | video to text | mean rank text to video | video to text |"
    rows = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for line in lines:
        rows.append(
            f"| {line['way']} | {line['pairs']:,} | {line['cpu_sec']:.2f} | {100 * line['t2v_r1']:.1f} % | "
            f"{100 * line['v2t_r1']:.1f} % | {line['t2v_mean_rank']:.2f} | {line['v2t_mean_rank']:.2f} |"
        )
    return "\n".join(rows)


def draw(lines: list[dict], path: Path) -> None:
    """Write the curve of quality against cost."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, (field, title, factor) in zip(
        axes, (("r1", "R@1 in %", 100), ("mean_rank", "mean rank", 1)), strict=True
    ):
        for way, colour, name in (
            ("t2v", "tab:blue", "text to video"),
            ("v2t", "tab:orange", "video to text"),
        ):
            curve = [line for line in lines if "k" in line]
            axis.plot(
                [line["cpu_sec"] for line in curve],
                [factor * line[f"{way}_{field}"] for line in curve],
                ".-",
                color=colour,
                label=f"two stages, {name}",
            )
            if way == "t2v":
                for line in curve:
                    axis.annotate(
                        f"k={line['k']}",
                        (line["cpu_sec"], factor * line[f"{way}_{field}"]),
                        fontsize=7,
                        xytext=(2, -9),
                        textcoords="offset points",
                    )
            for marker, line in zip("*Xs", [line for line in lines if "k" not in line], strict=False):
                axis.plot(
                    line["cpu_sec"],
                    factor * line[f"{way}_{field}"],
                    marker,
                    color=colour,
                    markersize=9,
                    linestyle="",
                    label=f"{line['way']}, {name}",
                )
        axis.set(xlabel="CPU seconds after encoding the videos, one thread", ylabel=title, xscale="log")
        seconds = sorted(line["cpu_sec"] for line in lines)
        axis.set_xlim(0.8 * seconds[0], 1.4 * seconds[-1])
        axis.set_xticks(
            [
                one
                for one in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
                if 0.8 * seconds[0] < one < 1.4 * seconds[-1]
            ]
        )
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


@torch.inference_mode()
def run(args: argparse.Namespace) -> list[Row]:
    """Check, measure, print the tables, write JSON, Markdown and picture."""
    torch.set_num_threads(args.threads)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    rounds = 1 if args.quick else args.rounds
    facts, rows, text = {}, [], []
    if "ways" in args.parts:
        rows, lines, facts["checks"] = measure_ways(args, rounds)
        facts["ways"] = lines
        text += [
            format_lines(lines),
            format_rows(rows),
            "\n".join(f"{key}: {value}" for key, value in facts["checks"].items()),
        ]
        draw(lines, args.output.with_suffix(".png"))
    if "units" in args.parts:
        facts["units"] = measure_units(args.quick, rounds)
        facts["estimates"] = estimate(facts["units"])
        text.append(format_estimates(facts["units"], facts["estimates"]))
    print("\n\n".join(text))
    args.output.with_suffix(".md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    write_json(
        args.output, "eval", rows, rounds=rounds, threads=args.threads, torch=torch.__version__, facts=facts
    )
    return rows


def measure_ways(args: argparse.Namespace, rounds: int) -> tuple[list[Row], list[dict], dict[str, str]]:
    """Return the ratios of time, the lines of the comparison, and what was found equal."""
    if args.quick:
        corpus, others = (
            make_corpus(args.cache, "fold"),
            {"clips concatenated": make_corpus(args.cache, "concat")},
        )
    else:
        corpus = load_corpus(args.run)
        places = {"clips concatenated": args.concat, "all pairs, no contrastive head": args.plain}
        others = {title: load_corpus(place) for title, place in places.items() if place}
    checks = check_exactness(corpus)
    lines = compare_ways(corpus, others, rounds)
    exact_ms = 1e3 * lines[0]["cpu_sec"]
    rows = [
        Row(
            line["way"],
            "all pairs",
            round(exact_ms, 3),
            round(1e3 * line["cpu_sec"], 3),
            round(exact_ms / max(1e-6, 1e3 * line["cpu_sec"]), 2),
        )
        for line in lines[1:]
    ]
    return rows, lines, checks
