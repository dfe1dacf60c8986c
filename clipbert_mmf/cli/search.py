"""``clipbert search``: the videos of an index, or of a folder, that fit a text best."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.timeline import LEGEND, draw_timeline
from clipbert_mmf.inference.asking import EncodedMedia, Hit, clean_texts, score_texts
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.folder_search import search_folder
from clipbert_mmf.library.searching import RERANK_TOP_K, Library
from clipbert_mmf.library.store import is_library
from clipbert_mmf.retrieval.two_stage import check_numbers
from clipbert_mmf.shown_text import escape_text


def run(options: argparse.Namespace) -> int:
    """Print the best videos for each text."""
    clean_texts(options.texts)
    check_numbers(options.top_k, None if options.rerank_top_k == -1 else options.rerank_top_k)
    model, hits, encode = (_search_index if is_library(options.place) else _search_folder)(options)
    content: dict[str, Any] = {text: [hit.to_dict() for hit in found] for text, found in hits.items()}
    lines = [LEGEND] if options.show and not options.json else []
    for text, found in hits.items():
        if len(hits) > 1:
            lines.append(f'"{escape_text(text)}"')
        for hit in found:
            lines.append(_describe(hit, options.place))
            if options.show:
                scored = score_texts(model, encode(hit.video), [text])
                lines.append(f"{'':15}{draw_timeline(scored.clips)}")
                content[text][hit.rank - 1]["clips"] = scored.to_dict()["clips"]
        if not found:
            lines.append(
                "nothing was found: no row is left by --where, or none of the candidates can be read"
            )
    print_result(options, content, lines)
    return 0


#: The model, the hits of each text, and what encodes the video of a hit.
Found = tuple[ClipBert, Mapping[str, Sequence[Hit]], Callable[[str], EncodedMedia]]


def _search_index(options: argparse.Namespace) -> Found:
    for name, is_given in (("--index", options.index is not None), ("--no-index", options.no_index)):
        if is_given:
            raise ValueError(
                f"{name} is of a folder of videos, and '{options.place}' is an index; leave it out"
            )
    model = load_model(options) if options.model else None
    library = Library(options.place, model, options.model or "", options.verify)
    num_candidates = options.rerank_top_k
    hits = library.search(
        options.texts,
        options.top_k,
        max(RERANK_TOP_K, options.top_k) if num_candidates == -1 else num_candidates,
        options.where,
        progress=lambda candidates: tqdm(candidates, desc="candidates", unit="file", disable=None),
    )
    return library.model, hits, library.encode


def _search_folder(options: argparse.Namespace) -> Found:
    if not options.model:
        _require_folder(options.place)
        raise ValueError(f"'{options.place}' is a folder of videos and no index: say with which --model")
    model = load_model(options, lambda: _require_folder(options.place))
    hits = search_folder(
        model,
        options.model,
        Path(options.place),
        options.texts,
        options.top_k,
        None if options.rerank_top_k == -1 else options.rerank_top_k,
        options.where,
        index=None if options.no_index else options.index or Path(options.place) / ".clipbert_index",
        progress=lambda videos: tqdm(videos, desc="videos", unit="file", disable=None),
    )
    return model, hits, model.encode


def _require_folder(place: str) -> None:
    path = Path(place)
    if path.is_file():
        raise NotADirectoryError(
            f"'{place}' is a file; give the folder it is in, or ask about this one: clipbert score --model MODEL "
            f"{place} TEXT"
        )
    if not path.is_dir():
        raise FileNotFoundError(
            f"'{place}': no such index or folder; make one with clipbert index SOURCE --model MODEL --out {place}"
        )


def _describe(hit: Hit, place: str) -> str:
    at = f"  at {hit.best_clip_sec[0]:.1f} s" if hit.best_clip_sec else ""
    path = Path(hit.video)
    name = path.relative_to(place) if path.is_relative_to(place) else path
    return f"{hit.rank:4}  {hit.probability:7.1%}  {escape_text(str(name))}{at}"
