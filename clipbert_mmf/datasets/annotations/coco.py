"""COCO Captions: the owner's JSON, Karpathy's split file, and ClipBERT's pre-training jsonl."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Iterator

from clipbert_mmf.datasets.annotations.reading import iterate_jsonl
from clipbert_mmf.datasets.annotations.records import AnnotationError, TextRecord, require
from clipbert_mmf.transforms.text import normalize_whitespace


def _stem(file_name: str) -> str:
    return PurePosixPath(file_name).stem


def parse_captions(path: Path, document: dict, splits: list[str] | None) -> Iterator[TextRecord]:
    """Yield ``{"images": [...], "annotations": [{image_id, id, caption}]}`` in file order.

    Raises:
        AnnotationError: for a missing key, a repeated image or a caption of an unknown image.
    """
    stems: dict[int, str] = {}
    for number, image in enumerate(require(document, "images", list, path, "top level")):
        place = f"images[{number}]"
        image_id = require(image, "id", int, path, place)
        if image_id in stems:
            raise AnnotationError(path, place, image_id, "each image id once")
        stems[image_id] = _stem(require(image, "file_name", str, path, place))
    for number, entry in enumerate(require(document, "annotations", list, path, "top level")):
        place = f"annotations[{number}]"
        image_id = require(entry, "image_id", int, path, place)
        if image_id not in stems:
            raise AnnotationError(path, place, image_id, "an id of 'images'")
        caption = normalize_whitespace(require(entry, "caption", str, path, place))
        yield TextRecord(stems[image_id], caption, str(require(entry, "id", (int, str), path, place)))


def parse_karpathy(path: Path, document: dict, splits: list[str] | None) -> Iterator[TextRecord]:
    """Yield Karpathy's ``dataset_coco.json``; its ``restval`` belongs to training."""
    wanted = None if splits is None else set(splits) | ({"restval"} if "train" in splits else set())
    for number, image in enumerate(require(document, "images", list, path, "top level")):
        place = f"images[{number}]"
        if wanted is not None and require(image, "split", str, path, place) not in wanted:
            continue
        key = _stem(require(image, "filename", str, path, place))
        for sentence in require(image, "sentences", list, path, place):
            raw = require(sentence, "raw", str, path, f"{place}, sentences")
            yield TextRecord(key, normalize_whitespace(raw), str(sentence.get("sentid", "")))


def parse_pretraining_jsonl(path: Path, text: str, splits: list[str] | None = None) -> Iterator[TextRecord]:
    """Yield ``{"coco_id" | "vg_id", "caption"}`` lines; the id is the key in the store."""
    for place, entry in iterate_jsonl(path, text):
        name = next((name for name in ("coco_id", "vg_id", "image_id") if name in entry), None)
        if name is None:
            raise AnnotationError(path, place, sorted(entry), "a key 'coco_id' or 'vg_id'")
        key = str(require(entry, name, (str, int), path, place))
        yield TextRecord(key, normalize_whitespace(require(entry, "caption", str, path, place)), place)
