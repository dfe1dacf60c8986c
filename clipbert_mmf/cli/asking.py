"""``clipbert score``, ``answer`` and ``search``: a trained model asked about videos from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.video.endings import MEDIA_ENDINGS


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what all commands with a model share."""
    parser.add_argument(
        "--model", required=True, help="folder of a converted model or of a run, checkpoint, or hub name"
    )
    add_loading_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_loading_options(parser: argparse.ArgumentParser) -> None:
    """Add how a model is loaded."""
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda:0 (default: cpu)")
    parser.add_argument("--config", help="a run's config.yaml, for a checkpoint that lies alone")
    parser.add_argument(
        "--dataset", help="whose head, answers and preprocessing to use, for a run over several"
    )


def load_model(options: argparse.Namespace):
    """Load the model that the options name."""
    from clipbert_mmf.inference.pretrained import ClipBert

    return ClipBert.from_pretrained(
        options.model, device=options.device, config=options.config, dataset=options.dataset
    )


def add_score(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipbert score``."""
    add_model_options(parser)
    parser.add_argument("video", help="video or image file, or an iopath URL")
    parser.add_argument("texts", nargs="+", metavar="text", help="captions to compare")


def run_score(options: argparse.Namespace) -> int:
    """Print how well each text fits a video, best first."""
    scored = load_model(options).score(options.video, options.texts)
    order = sorted(range(len(scored.texts)), key=lambda n: -scored.scores[n])
    lines = [f"{scored.probabilities[n]:7.1%}  {scored.texts[n]}" for n in order]
    print_result(options, scored.to_dict(), lines)
    return 0


def add_answer(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipbert answer``."""
    add_model_options(parser)
    parser.add_argument("video", help="video or image file, or an iopath URL")
    parser.add_argument("question")
    parser.add_argument("--options", nargs="+", metavar="option", help="answers to choose from")
    parser.add_argument("--top", type=int, default=5, help="answers to list (default: 5)")


def run_answer(options: argparse.Namespace) -> int:
    """Print the answer to a question, with the runners-up and when the evidence is."""
    answer = load_model(options).answer(options.video, options.question, options.options, options.top)
    if answer.probability is None:
        lines = [f"{answer.answer}  (before rounding: {answer.value:.2f})"]
    else:
        lines = [f"{chance:7.1%}  {candidate}" for candidate, chance in answer.candidates]
    times = [clip for clip in answer.clips if clip.start_sec is not None]
    if len(times) > 1:
        best = max(times, key=lambda clip: clip.scores[0])
        lines.append(f"clearest from {best.start_sec:.1f} s to {best.end_sec:.1f} s")
    print_result(options, answer.to_dict(), lines)
    return 0


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipbert search``."""
    add_model_options(parser)
    parser.add_argument("folder", type=Path, help="searched for videos (or images) at any depth")
    parser.add_argument("texts", nargs="+", metavar="text", help="what to look for")
    parser.add_argument("--top", type=int, default=10, help="videos for each text (default: 10)")
    parser.add_argument(
        "--index", type=Path, help="folder that keeps what was encoded (default: FOLDER/.clipbert_index)"
    )
    parser.add_argument("--no-index", action="store_true", help="keep nothing, encode every video again")
    parser.add_argument(
        "--rerank-top-k",
        type=int,
        metavar="K",
        help="score only the K videos of each text that embeddings choose (default: all)",
    )


def run_search(options: argparse.Namespace) -> int:
    """Print the best videos for each text."""
    from tqdm import tqdm

    from clipbert_mmf.inference.asking import require_ability
    from clipbert_mmf.inference.media import find_media
    from clipbert_mmf.library.search_index import SearchIndex

    model = load_model(options)
    require_ability(model, "score")
    media = model.preprocessing.media
    files = find_media(options.folder, media)
    if not files:
        raise FileNotFoundError(
            f"'{options.folder}' holds no {media}s; looked for {', '.join(sorted(MEDIA_ENDINGS[media]))}"
        )
    index = (
        None if options.no_index else SearchIndex(options.index or options.folder / ".clipbert_index", model)
    )
    hits = model.search(
        options.texts,
        files,
        options.top,
        index,
        progress=lambda videos: tqdm(videos, desc="videos", unit="file"),
        rerank_top_k=options.rerank_top_k,
    )
    content: dict[str, Any] = {text: [hit.to_dict() for hit in found] for text, found in hits.items()}
    lines = []
    for text, found in hits.items():
        lines.append(f'"{text}"' if len(hits) > 1 else "")
        for hit in found:
            at = f"  at {hit.best_clip_sec[0]:.1f} s" if hit.best_clip_sec else ""
            lines.append(
                f"{hit.rank:4}  {hit.probability:7.1%}  {Path(hit.video).relative_to(options.folder)}{at}"
            )
    print_result(options, content, [line for line in lines if line])
    return 0
