"""Read files of predictions, compute their metrics again by the rules of training, and write what benchmarks take.

``tasks.predictions`` made the records, MMF wrote them; ``docs/predictions.md`` says what each key means.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from clipbert_mmf.configuration import suggest
from clipbert_mmf.tasks.judging import Records
from clipbert_mmf.tasks.predictions import rank_scores
from clipbert_mmf.tasks.retrieval import make_score_matrix
from clipbert_mmf.tasks.task import TASKS, Task

#: Keys of every record.
_KEYS = ("dataset", "task", "item", "media_id", "readable")


class PredictionsError(ValueError):
    """Raised for a file of predictions that cannot be used.

    Names the file, the record, what was found and expected.
    """


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """Read a file that ``evaluation.predict=true`` or ``mmf_predict`` wrote.

    Raises:
        FileNotFoundError: if there is none.
        PredictionsError: if it is no JSON list of our records, is empty, or holds several datasets.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"predictions '{path}': no such file")
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PredictionsError(
            f"{path} is not JSON ({error}); predict with evaluation.predict_file_format=json"
        ) from error
    if not isinstance(records, list) or not records:
        raise PredictionsError(
            f"{path}: found {type(records).__name__}; expected a list of at least one record"
        )
    for number, record in enumerate(records):
        missing = [key for key in _KEYS if key not in record] if isinstance(record, dict) else list(_KEYS)
        if missing:
            raise PredictionsError(
                f"{path}, record {number}: {missing} missing; expected a record of clipbert_mmf"
            )
        if record["task"] not in TASKS:
            raise PredictionsError(
                f"{path}, record {number}: task is '{record['task']}'{suggest(record['task'], TASKS)}; "
                f"expected one of "
                f"{sorted(TASKS)}"
            )
    kinds = sorted({(record["dataset"], record["task"]) for record in records})
    if len(kinds) > 1:
        raise PredictionsError(f"{path} holds {kinds}; expected one dataset")
    return records


def find_task(records: Records) -> Task:
    """Return the task of a file's records."""
    return TASKS[records[0]["task"]]


def evaluate_predictions(records: Records) -> dict[str, float]:
    """Return the metrics of a file by short name, ``<metric>/<number>``, as an evaluation names them."""
    return find_task(records).judge(records)


def write_vqa_answers(records: Records, path: str | Path) -> None:
    """Write a file for the VQA evaluation server: a JSON list of ``{"question_id": int, "answer": str}``.

    A question about an unreadable image is answered "": the server wants all questions.

    Raises:
        PredictionsError: for a task without answers in words, or a question whose id is no number.
    """
    if find_task(records).asks != "answer":
        raise PredictionsError(
            f"the VQA server takes answers to questions; these are of task '{records[0]['task']}'"
        )
    rows = []
    for number, record in enumerate(records):
        if not str(record["text_id"]).isdigit():
            raise PredictionsError(
                f"record {number}: question id '{record['text_id']}'; the VQA server wants numbers"
            )
        answer = record["answers"][0]["answer"] if record["answers"] else ""
        rows.append({"question_id": int(record["text_id"]), "answer": answer})
    Path(path).write_text(json.dumps(rows) + "\n", encoding="utf-8")


def write_ranks(records: Records, path: str | Path, depth: int = 10) -> None:
    """Write text-to-video ranks: a CSV of ``text_id, rank, media_id, score, right``, the best ``depth`` of each text.

    Unreadable media are not listed. Where texts are about parts of videos, the columns ``start_sec`` and ``end_sec``
    follow.

    Raises:
        PredictionsError: if the file is not of retrieval, or ``depth`` is below 1.
    """
    if "right_text_ids" not in records[0]:
        raise PredictionsError(
            f"ranks are of retrieval; these predictions are of task '{records[0]['task']}'"
        )
    if depth < 1:
        raise PredictionsError(f"depth is {depth}; expected at least 1")
    matrix = make_score_matrix(records)
    media = [record["media_id"] for record in records]
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        has_parts = any(record.get("segment_sec") for record in records)
        parts = [tuple(record.get("segment_sec") or (None, None)) if has_parts else () for record in records]
        columns = ("start_sec", "end_sec") if has_parts else ()
        writer.writerow(["text_id", "rank", "media_id", "score", "right", *columns])
        for column, text_id in enumerate(matrix.text_ids):
            order = rank_scores(matrix.scores[:, column]).tolist()
            shown = [row for row in order if matrix.readable[row]][:depth]
            for rank, row in enumerate(shown, start=1):
                score = float(matrix.scores[row, column])
                right = int(matrix.matches[row, column])
                writer.writerow([text_id, rank, media[row], repr(score), right, *parts[row]])
