"""Predicts the rows of a table: how well a text fits its video, or the answer to a question about it.

Rows of one video are predicted together, so that it is read once, in this process or wherever a ``Mapper`` runs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipbert_mmf.annotations.formats import read_annotations
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.inference.asking import (
    EncodedMedia,
    answer_question,
    clean_question,
    clean_texts,
    require_ability,
    score_texts,
)
from clipbert_mmf.inference.media import open_media
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.json_text import format_json
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.parallel import Mapper
from clipbert_mmf.video.stores.base import MediaStore
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.writing import replacing

#: Candidates that an answer lists.
_TOP_K = 5
_WHOLE = (0.0, float("inf"))


@dataclass(frozen=True)
class TableRows:
    """Rows of a table about one video, or about one part of it.

    Attributes:
        media_key: the video as the table names it.
        window_sec: start and end of the part; None for all of it.
        numbers: place of each row in the table, from 0.
        records: the rows.
    """

    media_key: str
    window_sec: tuple[float, float] | None
    numbers: tuple[int, ...]
    records: tuple[TextRecord, ...]


@dataclass(frozen=True)
class TableReport:
    """Counts of one call.

    Attributes:
        num_rows: rows of the table.
        unreadable: video -> reason.
    """

    num_rows: int
    unreadable: dict[str, str]


def read_rows(table: Path) -> tuple[list[TableRows], bool]:
    """Return the rows of a table, those of one video together, and whether they are questions.

    Args:
        table: with the columns ``video`` and ``text``, or ``video`` and ``question`` and, where there are, ``options``;
            ``id``, ``start_sec`` and ``end_sec`` are read too.

    Raises:
        AnnotationError: if it is no such table.
    """
    found: dict[tuple[str, tuple[float, float] | None], list[tuple[int, TextRecord]]] = {}
    is_asked = False
    for number, record in enumerate(read_annotations(table, "video_predictions")):
        is_asked = record.answer is not None
        window = None if record.window_sec == _WHOLE else record.window_sec
        found.setdefault((record.media_key, window), []).append((number, record))
    return [TableRows(*place, *zip(*rows, strict=True)) for place, rows in found.items()], is_asked


class RowPredictor:
    """Predicts the rows of one video. Can be pickled.

    Args:
        model: a trained model.
        store: videos that the table names.
        is_asked: whether the rows are questions.
    """

    def __init__(self, model: ClipBert, store: MediaStore, is_asked: bool):
        self.model, self.store, self.is_asked = model, store, is_asked

    def check(self, rows: Sequence[TableRows]) -> None:
        """Raise what is wrong with a table for this model; reads no video.

        Raises:
            ValueError: if the model cannot be asked for it, or a row is none.
        """
        if not self.is_asked:
            require_ability(self.model, "score")
        blank = self.model.encode(self.model.preprocessing.make_reader().make_blank())
        for number, one in enumerate(rows):
            for record in one.records:
                if self.is_asked:
                    clean_question(record.text, record.options, _TOP_K)
                else:
                    clean_texts([record.text])
            if not number:
                self._predict(blank, one.records[:1])

    def __call__(self, rows: TableRows) -> list[tuple[int, dict[str, Any]]]:
        """Return the number and the prediction of each row."""
        try:
            clips = self.model.preprocessing.read_clips(
                self._open(rows.media_key), key=rows.media_key, window_sec=rows.window_sec
            )
            encoded = EncodedMedia(self.model.encode(clips).visual, clips.times_sec, rows.media_key)
        except (MediaError, OSError) as error:
            reason = error.reason if isinstance(error, MediaError) else str(error)
            return [
                (number, {**_describe(record), "readable": False, "reason": reason})
                for number, record in zip(rows.numbers, rows.records, strict=True)
            ]
        found = self._predict(encoded, rows.records)
        return [
            (number, {**_describe(record), "readable": True, **values})
            for number, record, values in zip(rows.numbers, rows.records, found, strict=True)
        ]

    def _open(self, name: str) -> bytes | Path | FrameFolder:
        if "://" not in name and not os.path.isabs(name):
            return self.store.read(self.store.resolve(name) or name)
        found = open_media(name)[0]
        assert not isinstance(found, DecodedVideo)
        return found

    @torch.inference_mode()
    def _predict(self, encoded: EncodedMedia, records: Sequence[TextRecord]) -> list[dict[str, Any]]:
        if not self.is_asked:
            scored = score_texts(self.model, encoded, [record.text for record in records])
            return [
                {
                    "probability": scored.probabilities[column],
                    "score": scored.scores[column],
                    "clips": [
                        {"start_sec": clip.start_sec, "end_sec": clip.end_sec, "score": clip.scores[column]}
                        for clip in scored.clips
                    ],
                }
                for column in range(len(records))
            ]
        answers: list[dict[str, Any]] = []
        for record in records:
            try:
                answers.append(
                    answer_question(self.model, encoded, record.text, record.options, _TOP_K).to_dict()
                )
            except ValueError as error:
                raise ValueError(f"{record.media_key}, question {record.text_id}: {error}") from error
        return answers


def _describe(record: TextRecord) -> dict[str, Any]:
    segment = {} if record.window_sec is None else {"segment_sec": list(record.window_sec)}
    options = {"options": list(record.options)} if record.options else {}
    return {"video": record.media_key, "text_id": record.text_id, "text": record.text, **segment, **options}


def predict_table(
    model: ClipBert,
    table: str | Path,
    out: str | Path,
    media: str | Path | None = None,
    mapper: Mapper = map,
) -> TableReport:
    """Predict every row of a table and write the predictions in its order, one JSON object a line.

    All that can fail is checked before the first video is read.

    Args:
        model: a trained model.
        table: see ``read_rows``.
        out: file to write; the old one stays until this is whole.
        media: folder or store of the videos; None for the table's folder.
        mapper: where videos are read and rows predicted.

    Raises:
        AnnotationError: if the table is none.
        ValueError: if the model cannot be asked for what the table has, or no video can be read.
    """
    table = Path(table)
    if not table.is_file():
        raise FileNotFoundError(f"table '{table}': no such file")
    rows, is_asked = read_rows(table)
    store = open_store(media or table.resolve().parent, media=model.preprocessing.media)
    predictor = RowPredictor(model, store, is_asked)
    predictor.check(rows)
    Path(out).resolve().parent.mkdir(parents=True, exist_ok=True)
    lines: dict[int, str] = {}
    unreadable: dict[str, str] = {}
    num_read = 0
    for predictions in mapper(predictor, rows):
        for number, values in predictions:
            lines[number] = format_json(values)
            num_read += values["readable"]
            if not values["readable"]:
                unreadable[values["video"]] = values["reason"]
    # One part of a video may be readable where another is not.
    if not num_read:
        raise ValueError(
            f"none of the {len(unreadable)} videos of {table} can be read; the first: {next(iter(unreadable.values()))}"
        )
    with replacing(out) as part:
        part.write_text("".join(lines[number] + "\n" for number in range(len(lines))), encoding="utf-8")
    return TableReport(len(lines), unreadable)
