"""Tasks: how items are made, what is measured, how predictions are recorded.

Importing the package registers the built-in ones.
"""

from __future__ import annotations

from clipbert_mmf.tasks import count, multiple_choice, open_ended, pretraining, retrieval, vqa
from clipbert_mmf.tasks.task import TASKS, Chance, Task, register_task

__all__ = [
    "TASKS",
    "Chance",
    "Task",
    "count",
    "multiple_choice",
    "open_ended",
    "pretraining",
    "register_task",
    "retrieval",
    "vqa",
]
