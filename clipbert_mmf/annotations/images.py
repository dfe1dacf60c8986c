"""Parses COCO Captions, Visual Genome regions and VQA 2.0, and ClipBERT's lines of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipbert_mmf.annotations.records import (
    AnnotationError,
    Entries,
    Source,
    TextRecord,
    refuse_twice,
    require,
    require_text,
)
from clipbert_mmf.annotations.vqa_text import normalize_answer
from clipbert_mmf.video.stores.names import make_key

logger = logging.getLogger(__name__)

#: VQA's score per person who gave an answer, at most 1: the official mean over the ten ways to leave one
#: person out.
SCORE_PER_PERSON = 0.3


def parse_captions(source: Source, document: Any) -> Iterator[TextRecord]:
    """Yield COCO's ``{"images": [...], "annotations": [{image_id, id, caption}]}`` in file order."""
    path = source.path
    keys: dict[int, str] = {}
    for number, image in enumerate(require(document, "images", list, path, "top level")):
        place = f"images[{number}]"
        image_id = require(image, "id", int, path, place)
        refuse_twice(keys, image_id, "image id", path, place)
        keys[image_id] = make_key(require(image, "file_name", str, path, place))
    for number, entry in enumerate(require(document, "annotations", list, path, "top level")):
        place = f"annotations[{number}]"
        image_id = require(entry, "image_id", int, path, place)
        if image_id not in keys:
            raise AnnotationError(path, place, image_id, "an id of 'images'")
        caption = require_text(entry, "caption", path, place)
        yield TextRecord(keys[image_id], caption, str(require(entry, "id", (int, str), path, place)))


def parse_karpathy(source: Source, document: Any) -> Iterator[TextRecord]:
    """Yield Karpathy's ``dataset_coco.json``; its ``restval`` belongs to training."""
    splits = source.splits
    wanted = None if splits is None else set(splits) | ({"restval"} if "train" in splits else set())
    for number, image in enumerate(require(document, "images", list, source.path, "top level")):
        place = f"images[{number}]"
        if wanted is not None and require(image, "split", str, source.path, place) not in wanted:
            continue
        key = make_key(require(image, "filename", str, source.path, place))
        for sentence in require(image, "sentences", list, source.path, place):
            text = require_text(sentence, "raw", source.path, f"{place}, sentences")
            yield TextRecord(key, text, str(sentence.get("sentid", "")))


def parse_pretraining_lines(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``{"coco_id" | "vg_id", "caption"}``; the id is the key in the store."""
    for place, entry in entries:
        name = next((name for name in ("coco_id", "vg_id", "image_id") if name in entry), None)
        if name is None:
            raise AnnotationError(source.path, place, sorted(entry), "a key 'coco_id' or 'vg_id'")
        key = str(require(entry, name, (str, int), source.path, place))
        yield TextRecord(key, require_text(entry, "caption", source.path, place), place)


def parse_regions(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield Visual Genome's ``[{"id", "regions": [{region_id | id, image_id | image, phrase}]}]``, image by image."""
    for place, entry in entries:
        regions = require(entry, "regions", list, source.path, place)
        for number, region in enumerate(regions):
            where = f"{place}, regions[{number}]"
            phrase = require_text(region, "phrase", source.path, where)
            image = region.get("image_id", region.get("image", entry.get("id")))
            region_id = region.get("region_id", region.get("id", where))
            if phrase:
                yield TextRecord(str(image), phrase, str(region_id))


def parse_vqa(source: Source, document: Any) -> Iterator[TextRecord]:
    """Yield VQA's ``{"questions": [...]}``, with the ten answers of the file of annotations where there is one.

    Questions that file lacks are left out and counted in a warning.

    Raises:
        AnnotationError: for a missing key or a repeated question.
    """
    path = source.path
    subtype = require(document, "data_subtype", str, path, "top level")
    given: dict[int, dict[str, Any]] = {}
    seen: set[int] = set()
    num_bare = 0
    if source.companion is not None:
        entries = require(source.companion[1], "annotations", list, source.companion[0], "top level")
        given = {
            require(entry, "question_id", int, source.companion[0], f"annotations[{number}]"): entry
            for number, entry in enumerate(entries)
        }
    for number, entry in enumerate(require(document, "questions", list, path, "top level")):
        place = f"questions[{number}]"
        question_id = require(entry, "question_id", int, path, place)
        refuse_twice(seen, question_id, "question_id", path, place)
        seen.add(question_id)
        image = require(entry, "image_id", int, path, place)
        answers: tuple[str, ...] = ()
        answer_type = ""
        if source.companion is not None:
            if question_id not in given:
                num_bare += 1
                continue
            answers, answer_type = _read_answers(given[question_id], source.companion[0])
        yield TextRecord(
            f"COCO_{subtype}_{image:012d}",
            require_text(entry, "question", path, place),
            str(question_id),
            answer_type=answer_type,
            soft_answers=score_answers(answers),
            all_answers=answers,
        )
    if num_bare and source.companion is not None:
        logger.warning(
            "%s: %d of %d questions are not in %s and left out",
            path,
            num_bare,
            len(seen),
            source.companion[0],
        )


def _read_answers(entry: dict[str, Any], path: Path) -> tuple[tuple[str, ...], str]:
    place = f"annotation of {entry['question_id']}"
    answers = require(entry, "answers", list, path, place)
    return (
        tuple(normalize_answer(require(answer, "answer", str, path, place)) for answer in answers),
        str(entry.get("answer_type", "")),
    )


def score_answers(answers: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Return each distinct answer with its score, most frequent first."""
    return tuple(
        (answer, min(1.0, SCORE_PER_PERSON * count)) for answer, count in Counter(answers).most_common()
    )


def parse_vqa_lines(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``{question, image_id, question_id, labels: {answer: score}, answer_type}``."""
    for place, entry in entries:
        labels = require(entry, "labels", dict, source.path, place) if "labels" in entry else {}
        yield TextRecord(
            str(require(entry, "image_id", (str, int), source.path, place)),
            require_text(entry, "question", source.path, place),
            str(entry.get("question_id", place)),
            answer_type=str(entry.get("answer_type", "")),
            soft_answers=tuple(
                (answer, float(require(labels, answer, (int, float), source.path, f"{place}, 'labels'")))
                for answer in labels
            ),
        )
