"""Compute metrics again from prediction records, by the rules and under the names of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from clipbert_mmf.scoring.metrics import count_items, name_answer_types
from clipbert_mmf.shapes import ANSWER_TYPES

#: Prediction records of one dataset, as read from JSON.
Records = Sequence[dict[str, Any]]


def average(values: Sequence[float]) -> float:
    """Return the mean in double precision; 0 for no values."""
    return float(torch.tensor(values, dtype=torch.float64).mean()) if len(values) else 0.0


def count_records(records: Records) -> dict[str, float]:
    """Return the numbers of texts, items and unreadable items."""
    readable = {record["item"]: bool(record["readable"]) for record in records}
    counts = count_items(torch.tensor(list(readable.values()), dtype=torch.bool))
    return {"num_texts": float(len(records)), **counts}


def judge_answers(records: Records) -> dict[str, float]:
    """Return the accuracy of answers, over all questions and over each answer type that occurs."""
    accuracy = torch.tensor([record["right"] for record in records], dtype=torch.float64)
    types = [record.get("answer_type") for record in records]
    indices = [ANSWER_TYPES.index(name) if name in ANSWER_TYPES else -1 for name in types]
    return {
        "accuracy": float(accuracy.mean()),
        **count_records(records),
        **name_answer_types(accuracy, torch.tensor(indices)),
    }
