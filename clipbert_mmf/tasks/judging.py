"""Compute metrics again from prediction records, by the rules and under the names of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.scoring.metrics import count_items, trace_answers
from clipbert_mmf.scoring.outcomes import Measured
from clipbert_mmf.shapes import ANSWER_TYPES

#: Prediction records of one dataset, as read from JSON.
Records = Sequence[dict[str, Any]]


def list_media(records: Records) -> np.ndarray:
    """Return the medium of each record."""
    return np.array([str(record["media_id"]) for record in records])


def collect_correct(records: Records) -> Tensor:
    """Return how correct each record is, ``(records,)`` float64, 0 to 1."""
    return torch.tensor([record["correct"] for record in records], dtype=torch.float64)


def count_records(records: Records) -> dict[str, float]:
    """Return the numbers of texts, items and unreadable items."""
    readable = {record["item"]: bool(record["readable"]) for record in records}
    counts = count_items(torch.tensor(list(readable.values()), dtype=torch.bool))
    return {"num_texts": float(len(records)), **counts}


def judge_answers(records: Records) -> Measured:
    """Return the accuracy of answers, over all questions and over each answer type that occurs."""
    types = [record.get("answer_type") for record in records]
    indices = torch.tensor([ANSWER_TYPES.index(name) if name in ANSWER_TYPES else -1 for name in types])
    outcomes, num_of_type = trace_answers(collect_correct(records), list_media(records), indices)
    return Measured(outcomes, {**count_records(records), **num_of_type})
