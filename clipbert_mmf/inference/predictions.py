"""Read files of predictions, compute their metrics again by the rules of training, and write what benchmarks take.

``tasks.predictions`` made the records, MMF wrote them; ``docs/predictions.md`` says what each key means.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from clipbert_mmf.configuration import suggest
from clipbert_mmf.shown_text import escape_cell
from clipbert_mmf.tasks.judging import Records
from clipbert_mmf.tasks.predictions import rank_scores
from clipbert_mmf.tasks.record_fields import TEXT, PredictionsError, find_fault
from clipbert_mmf.tasks.retrieval import make_score_matrix
from clipbert_mmf.tasks.task import TASKS, Task
from clipbert_mmf.writing import naming

#: The two keys by which a file is known as one of ours.
_MARKS = ('"task"', '"media_id"')
_SPACE = re.compile(r"[ \t\r\n]*")


class NoPredictionsError(PredictionsError):
    """Raised for a file that is no file of our predictions; a damaged one is a ``PredictionsError``."""


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """Read a file that ``evaluation.predict=true`` or ``mmf_predict`` wrote.

    Raises:
        FileNotFoundError: if there is none.
        NoPredictionsError: if it is no JSON list of our records.
        PredictionsError: if it is damaged, lacks records or has one twice, is empty, or holds several datasets.
            Names file, line and record.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"predictions '{path}': no such file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise NoPredictionsError(f"{path} is not UTF-8 ({error}); expected JSON") from None
    records, lines = _parse_records(path, text)

    def name(number: int) -> str:
        return f"{path}, line {lines[number]}, record {number}"

    for number, record in enumerate(records):
        fault = find_fault(record, {"dataset": TEXT, "task": TEXT}, "")
        if fault:
            # A list of other records, such as a run's weights_report.json, is none of ours.
            kind = PredictionsError if any(mark in text[:4000] for mark in _MARKS) else NoPredictionsError
            raise kind(f"{name(number)}: {fault}; expected a record of clipbert_mmf")
        if record["task"] not in TASKS:
            raise PredictionsError(
                f"{name(number)}: task is '{record['task']}'{suggest(record['task'], TASKS)}; "
                f"expected one of "
                f"{sorted(TASKS)}"
            )
    kinds = sorted({(record["dataset"], record["task"]) for record in records})
    if len(kinds) > 1:
        raise PredictionsError(f"{path} holds {kinds}; expected one dataset")
    try:
        find_task(records).check_records(records, name)
    except PredictionsError as error:
        text = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise PredictionsError(f"{text}. Write the predictions again with clipbert predict") from None
    return records


def find_predictions(folder: Path, dataset: str | None = None) -> tuple[list[dict[str, Any]], Path | None]:
    """Return the newest records below the folder of a run and their file; none and None where there are none.

    Args:
        folder: the run's, or one of predictions.
        dataset: whose predictions, where there are several; None takes the newest.

    Raises:
        PredictionsError: if the newest are damaged.
    """
    found = sorted(
        (
            path
            for path in folder.rglob("*_*.json")
            if path.parent.name == "reports" or path.parent == folder or path.parent.name == "predictions"
        ),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in found:
        try:
            records = read_predictions(path)
        except (NoPredictionsError, OSError):  # another JSON file of the run
            continue
        if dataset in (None, records[0]["dataset"]):
            return records, path
    return [], None


def _parse_records(path: Path, text: str) -> tuple[list[Any], list[int]]:
    """Return the elements of a JSON list, each with its line."""
    is_ours = not text.strip() or all(mark in text[:4000] for mark in _MARKS)
    kind = PredictionsError if is_ours else NoPredictionsError

    def refuse(constant: str) -> Any:
        raise ValueError(f"found {constant}; expected finite numbers")

    decoder = json.JSONDecoder(parse_constant=refuse)
    records: list[Any] = []
    lines: list[int] = []
    line, counted = 1, 0
    place = _skip_space(text, 0)
    try:
        if text[place : place + 1] != "[":
            whole = decoder.decode(text)
            raise NoPredictionsError(
                f"{path}: found {type(whole).__name__}; expected a list of at least one record"
            )
        separator, place = "[", _skip_space(text, place + 1)
        if text[place : place + 1] == "]":
            raise NoPredictionsError(f"{path}: found an empty list; expected a list of at least one record")
        while separator != "]":
            line, counted = line + text.count("\n", counted, place), place
            record, place = decoder.raw_decode(text, place)
            records.append(record)
            lines.append(line)
            place = _skip_space(text, place)
            separator = text[place : place + 1]
            if separator not in (",", "]") or not separator:
                raise json.JSONDecodeError(
                    "the list is not closed" if not separator else "no comma", text, place
                )
            place = _skip_space(text, place + 1)
        if place != len(text):
            raise json.JSONDecodeError("text behind the list", text, place)
    except PredictionsError:
        raise
    except (ValueError, RecursionError) as error:
        where = "" if isinstance(error, json.JSONDecodeError) else f", line {line}"
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise kind(
            f"{path}{where}, record {len(records)}, is not JSON ({reason}); predict with "
            f"evaluation.predict_file_format=json"
        ) from None
    return records, lines


def _skip_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def find_task(records: Records) -> Task:
    """Return the task of a file's records."""
    return TASKS[records[0]["task"]]


def evaluate_predictions(records: Records) -> dict[str, float]:
    """Return the metrics of a file by short name, ``<metric>/<number>``, as an evaluation names them.

    Raises:
        PredictionsError: if a field is missing or of the wrong kind, or a record is missing or there twice.
    """
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
    with naming(path):
        Path(path).write_text(json.dumps(rows) + "\n", encoding="utf-8")


def write_ranks(records: Records, path: str | Path, depth: int = 10) -> None:
    """Write text-to-video ranks: a CSV of ``text_id, rank, media_id, score, correct``, the best ``depth`` of each text.

    Unreadable media are not listed. A name that begins with ``= + - @`` has a quote before it, so that no spreadsheet
    takes it for a formula. Where texts are about parts of videos, the columns ``start_sec`` and ``end_sec``
    follow.

    Raises:
        PredictionsError: if the file is not of retrieval, or ``depth`` is below 1.
    """
    if "correct_text_ids" not in records[0]:
        raise PredictionsError(
            f"ranks are of retrieval; these predictions are of task '{records[0]['task']}'"
        )
    if depth < 1:
        raise PredictionsError(f"depth is {depth}; expected at least 1")
    matrix = make_score_matrix(records)
    media = [record["media_id"] for record in records]
    with naming(path), Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        has_parts = any(record.get("segment_sec") for record in records)
        parts = [tuple(record.get("segment_sec") or (None, None)) if has_parts else () for record in records]
        columns = ("start_sec", "end_sec") if has_parts else ()
        writer.writerow(["text_id", "rank", "media_id", "score", "correct", *columns])
        for column, text_id in enumerate(matrix.text_ids):
            order = rank_scores(matrix.scores[:, column]).tolist()
            shown = [row for row in order if matrix.readable[row]][:depth]
            for rank, row in enumerate(shown, start=1):
                score = float(matrix.scores[row, column])
                correct = int(matrix.matches[row, column])
                names = escape_cell(text_id), escape_cell(media[row])
                writer.writerow([names[0], rank, names[1], repr(score), correct, *parts[row]])
