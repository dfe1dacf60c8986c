"""Annotation files of their owners to ``TextRecord``s, told apart by content. The first room of the data flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

from clipbert_mmf.datasets.annotations import coco, msrvtt
from clipbert_mmf.datasets.annotations.reading import parse_json, read_text
from clipbert_mmf.datasets.annotations.records import AnnotationError, TextRecord

__all__ = ["FORMATS", "AnnotationError", "TextRecord", "read_annotations", "read_keys"]


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda document: isinstance(document, dict) and all(key in document for key in keys)


def _is_karpathy(document: Any) -> bool:
    images = document.get("images") if isinstance(document, dict) else None
    return isinstance(images, list) and bool(images) and isinstance(images[0], dict) and "sentences" in images[0]


#: Corpus -> (name, does the content look like it, parser), for whole JSON documents, tables and JSON lines.
FORMATS: dict[str, dict[str, list[tuple[str, Callable[[Any], bool], Callable]]]] = {
    "msrvtt": {
        "json": [("{videos, sentences}", _has("videos", "sentences"), msrvtt.parse_videodatainfo)],
        "table": [("a table with key, video_id, sentence", lambda header: "sentence" in header, msrvtt.parse_retrieval_csv)],
        "jsonl": [("lines with caption, clip_name", _has("caption", "clip_name"), msrvtt.parse_retrieval_jsonl)],
    },
    "coco_captions": {
        "json": [
            ("{images: [{sentences}]}", _is_karpathy, coco.parse_karpathy),
            ("{images, annotations}", _has("images", "annotations"), coco.parse_captions),
        ],
        "table": [],
        "jsonl": [("lines with coco_id, caption", _has("caption"), coco.parse_pretraining_jsonl)],
    },
}


def read_annotations(path: Path, corpus: str, splits: list[str] | None = None) -> Iterator[TextRecord]:
    """Yield the records of an annotation file.

    Args:
        path: the owner's file or ClipBERT's jsonl of the same corpus.
        corpus: a key of ``FORMATS``.
        splits: the owner's names of the wanted splits; None for all, or where a file has no splits.
    Raises:
        AnnotationError: if the content is of no known format of the corpus, or malformed.
    """
    text = read_text(path)
    kind, sample = _classify(path, text)
    for _, fits, parse in FORMATS[corpus][kind]:
        if fits(sample):
            return parse(path, sample if kind == "json" else text, splits)
    known = [name for formats in FORMATS[corpus].values() for name, _, _ in formats]
    raise AnnotationError(path, "content", sorted(sample) if isinstance(sample, dict) else sample, f"one of {known}")


def _classify(path: Path, text: str) -> tuple[str, Any]:
    first = text.lstrip().split("\n", 1)[0].strip()
    if first[:1] not in "{[":
        return "table", first
    lines = [line for line in text.splitlines() if line.strip()]
    if first.startswith("{") and first.endswith("}") and (len(lines) == 1 or lines[1].lstrip().startswith("{")):
        document = parse_json(path, first) if len(lines) > 1 else parse_json(path, text)
        if len(lines) > 1 or not any(isinstance(value, (list, dict)) and key != "caption" for key, value in document.items()):
            return "jsonl", document
        return "json", document
    return "json", parse_json(path, text)


def read_keys(path: Path) -> set[str]:
    """Return the media keys a file lists: a column ``video_id`` of a table, or one key a line.

    Raises:
        AnnotationError: if the file is empty or not text.
    """
    from clipbert_mmf.datasets.annotations.reading import iterate_table

    text = read_text(path)
    header = text.splitlines()[0]
    if "video_id" in header:
        return {row["video_id"].strip() for _, row in iterate_table(path, text, ("video_id",))}
    return {line.strip() for line in text.splitlines() if line.strip()}
