"""``clipbert search``: the videos of a folder that fit a text best."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from clipbert_mmf.cli.model_options import add_backend, add_model_options, load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.timeline import LEGEND, draw_timeline
from clipbert_mmf.cli.values import count, place
from clipbert_mmf.inference.asking import require_ability
from clipbert_mmf.inference.media import require_media
from clipbert_mmf.library.search_index import SearchIndex
from clipbert_mmf.shown_text import escape_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    add_backend(parser)
    parser.add_argument("folder", type=place, help="searched for videos (or images) at any depth")
    parser.add_argument("texts", nargs="+", metavar="text", help="what to look for")
    parser.add_argument("--top", type=count(), default=10, help="videos for each text (default: 10)")
    parser.add_argument(
        "--index", type=Path, help="folder that keeps encodings (default: FOLDER/.clipbert_index)"
    )
    parser.add_argument("--no-index", action="store_true", help="keep nothing, encode every video again")
    parser.add_argument(
        "--rerank-top-k",
        type=count(),
        metavar="K",
        help="score only the K videos of each text that embeddings choose (default: all)",
    )
    parser.add_argument(
        "--show", action="store_true", help="draw below each video how well its clips fit, as text"
    )


def run(options: argparse.Namespace) -> int:
    """Print the best videos for each text."""
    model = load_model(options)
    require_ability(model, "score")
    files = require_media(options.folder, model.preprocessing.media)
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
    lines = [LEGEND] if options.show and not options.json else []
    for text, found in hits.items():
        lines.append(f'"{escape_text(text)}"' if len(hits) > 1 else "")
        for hit in found:
            at = f"  at {hit.best_clip_sec[0]:.1f} s" if hit.best_clip_sec else ""
            name = escape_text(str(Path(hit.video).relative_to(options.folder)))
            lines.append(f"{hit.rank:4}  {hit.probability:7.1%}  {name}{at}")
            if options.show:
                scored = model.score(hit.video, [text])
                lines.append(f"{'':15}{draw_timeline(scored.clips)}")
                content[text][hit.rank - 1]["clips"] = scored.to_dict()["clips"]
    print_result(options, content, [line for line in lines if line])
    return 0
