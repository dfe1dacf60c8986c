"""Files of predictions: read, judged again by the rules training uses, and turned into what benchmarks want.

``datasets.predictions`` wrote them, through MMF; ``docs/predictions.md`` says what each key means.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from clipbert_mmf.scoring.answers import COUNT_RANGE
from clipbert_mmf.scoring.metrics import count_items, name_answer_types, name_ranks
from clipbert_mmf.scoring.ranking import summarize_retrieval
from clipbert_mmf.shapes import ANSWER_TYPES

Records = Sequence[dict[str, Any]]
#: Every record has these.
_KEYS = ("dataset", "task", "item", "media_id", "readable")


class PredictionsError(ValueError):
    """A file of predictions that cannot be used; names the file, the record, what was found and what is expected."""


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """Read a file of ``evaluation.predict=true`` or ``mmf_predict``.

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
        if record["task"] not in TASK_METRICS:
            raise PredictionsError(
                f"{path}, record {number}: task is '{record['task']}'; expected one of {sorted(TASK_METRICS)}"
            )
    kinds = sorted({(record["dataset"], record["task"]) for record in records})
    if len(kinds) > 1:
        raise PredictionsError(f"{path} holds {kinds}; expected one dataset")
    return records


def evaluate_predictions(records: Records) -> dict[str, float]:
    """Return the numbers of a file by ``<metric>/<name>``, as an evaluation names them."""
    metric, judge = TASK_METRICS[records[0]["task"]]
    return {f"{metric}/{name}": value for name, value in judge(records).items()}


def make_score_matrix(records: Records) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[str]]:
    """Return a retrieval file's ``(media, texts)`` scores, right pairs, ``(media,)`` readable, and the texts' ids."""
    ids = list(
        dict.fromkeys(
            text_id for record in records for text_id in (*record["scores"], *record["right_text_ids"])
        )
    )
    column = {text_id: index for index, text_id in enumerate(ids)}
    scores = torch.full((len(records), len(ids)), -torch.inf, dtype=torch.float64)
    matches = torch.zeros(len(records), len(ids), dtype=torch.bool)
    for row, record in enumerate(records):
        for text_id, score in record["scores"].items():
            scores[row, column[text_id]] = score
        matches[row, [column[text_id] for text_id in record["right_text_ids"]]] = True
    return scores, matches, torch.tensor([bool(record["readable"]) for record in records]), ids


def _judge_retrieval(records: Records) -> dict[str, float]:
    scores, matches, readable, _ = make_score_matrix(records)
    to_video, to_text = summarize_retrieval(scores, matches, readable)
    return {**name_ranks("t2v", to_video), **name_ranks("v2t", to_text), **count_items(readable)}


def _count(records: Records) -> dict[str, float]:
    readable = {record["item"]: bool(record["readable"]) for record in records}
    return {
        "num_texts": float(len(records)),
        **count_items(torch.tensor(list(readable.values()), dtype=torch.bool)),
    }


def _judge_answers(records: Records) -> dict[str, float]:
    right = torch.tensor([record["right"] for record in records], dtype=torch.float64)
    types = [record.get("answer_type") for record in records]
    indices = [ANSWER_TYPES.index(name) if name in ANSWER_TYPES else -1 for name in types]
    return {
        "accuracy": float(right.mean()),
        **_count(records),
        **name_answer_types(right, torch.tensor(indices)),
    }


def _judge_counts(records: Records) -> dict[str, float]:
    low, high = COUNT_RANGE
    errors = []
    for record in records:
        target = float(record["target"])
        errors.append(
            record["answers"][0]["answer"] - target if record["answers"] else max(target - low, high - target)
        )
    return {
        "accuracy": _mean([record["right"] for record in records]),
        "mse": _mean([error**2 for error in errors]),
        **_count(records),
    }


def _judge_matches(records: Records) -> dict[str, float]:
    return {"itm_accuracy": _mean([record["right"] for record in records]), **_count(records)}


def _mean(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).mean()) if len(values) else 0.0


#: Task of a file -> registered metric, and its numbers computed from records.
TASK_METRICS: dict[str, tuple[str, Callable[[Records], dict[str, float]]]] = {
    "retrieval": ("clipbert_retrieval", _judge_retrieval),
    "open_ended": ("clipbert_answers", _judge_answers),
    "multiple_choice": ("clipbert_answers", _judge_answers),
    "soft_answers": ("clipbert_vqa", _judge_answers),
    "count": ("clipbert_count", _judge_counts),
    "pretraining": ("clipbert_pretraining", _judge_matches),
}


def write_vqa_answers(records: Records, path: str | Path) -> None:
    """Write what the VQA evaluation server takes: a JSON list of ``{"question_id": int, "answer": str}``.

    A question about an unreadable image is answered "": the server wants all questions.

    Raises:
        PredictionsError: for a task without answers in words, or a question whose id is no number.
    """
    if records[0]["task"] not in ("open_ended", "soft_answers"):
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

    Unreadable media are not listed.

    Raises:
        PredictionsError: if the file is not of retrieval, or ``depth`` is below 1.
    """
    if records[0]["task"] != "retrieval":
        raise PredictionsError(
            f"ranks are of retrieval; these predictions are of task '{records[0]['task']}'"
        )
    if depth < 1:
        raise PredictionsError(f"depth is {depth}; expected at least 1")
    scores, matches, readable, ids = make_score_matrix(records)
    media = [record["media_id"] for record in records]
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text_id", "rank", "media_id", "score", "right"])
        for column, text_id in enumerate(ids):
            order = scores[:, column].sort(descending=True, stable=True)[1].tolist()
            shown = [row for row in order if readable[row]][:depth]
            for rank, row in enumerate(shown, start=1):
                score = float(scores[row, column])
                writer.writerow([text_id, rank, media[row], repr(score), int(matches[row, column])])
