"""MSR-VTT: the owner's JSON of 2016 and 2017, the 1k test CSV, and ClipBERT's retrieval jsonl."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from clipbert_mmf.datasets.annotations.reading import iterate_jsonl, iterate_table
from clipbert_mmf.datasets.annotations.records import AnnotationError, TextRecord, require
from clipbert_mmf.transforms.text import normalize_whitespace

#: The 2016 release calls its validation split ``validate``.
SPLIT_NAMES = {"validate": "val"}


def parse_videodatainfo(path: Path, document: dict, splits: list[str] | None) -> Iterator[TextRecord]:
    """Yield the captions of ``{"videos": [...], "sentences": [...]}`` in file order, of the given splits.

    Raises:
        AnnotationError: for a missing key, an unknown split, a sentence of an unknown video, or a repeated video.
    """
    split_of: dict[str, str] = {}
    for number, video in enumerate(require(document, "videos", list, path, "top level")):
        place = f"videos[{number}]"
        key = require(video, "video_id", str, path, place)
        if key in split_of:
            raise AnnotationError(path, place, key, "each video_id once")
        split = require(video, "split", str, path, place)
        split_of[key] = SPLIT_NAMES.get(split, split)
    wanted = None if splits is None else {SPLIT_NAMES.get(split, split) for split in splits}
    if wanted is not None and not wanted & set(split_of.values()):
        raise AnnotationError(path, "videos", sorted(set(split_of.values())), f"a split of {sorted(wanted)}")
    for number, sentence in enumerate(require(document, "sentences", list, path, "top level")):
        place = f"sentences[{number}]"
        key = require(sentence, "video_id", str, path, place)
        if key not in split_of:
            raise AnnotationError(path, place, key, "a video_id of 'videos'")
        if wanted is None or split_of[key] in wanted:
            caption = normalize_whitespace(require(sentence, "caption", str, path, place))
            yield TextRecord(key, caption, str(require(sentence, "sen_id", (int, str), path, place)))


def parse_retrieval_csv(path: Path, text: str, splits: list[str] | None = None) -> Iterator[TextRecord]:
    """Yield the rows of ``key,vid_key,video_id,sentence``; ``key`` is the identity, sentences repeat.

    Raises:
        AnnotationError: for a missing column, a broken row or a repeated key.
    """
    seen: set[str] = set()
    for place, row in iterate_table(path, text, ("key", "video_id", "sentence")):
        if row["key"] in seen:
            raise AnnotationError(path, place, row["key"], "each key once")
        seen.add(row["key"])
        yield TextRecord(row["video_id"].strip(), normalize_whitespace(row["sentence"]), row["key"])


def parse_retrieval_jsonl(path: Path, text: str, splits: list[str] | None = None) -> Iterator[TextRecord]:
    """Yield ``{"caption", "clip_name", "sen_id" | "retrieval_key"}`` lines; a caption may be a list of sentences."""
    for place, entry in iterate_jsonl(path, text):
        caption = require(entry, "caption", (str, list), path, place)
        caption = caption if isinstance(caption, str) else " ".join(map(str, caption))
        text_id = str(entry.get("retrieval_key", entry.get("sen_id", place)))
        key = str(require(entry, "clip_name", (str, int), path, place))
        yield TextRecord(key, normalize_whitespace(caption), text_id)
