"""The functions that a user's package calls to add its own parts.

``docs/extending.md`` has a tested example of each.

Registering a name twice with the same thing is allowed, since MMF may import a package again; with another
thing it is an error. Nothing here needs MMF, so that a package is known to the command line and to Python
without it.
"""

from clipbert_mmf.annotations import AnnotationFormat, TextRecord, register_format
from clipbert_mmf.modules.backbones.registry import register_backbone
from clipbert_mmf.modules.heads import HeadKind, register_head
from clipbert_mmf.scoring.clips import register_fold
from clipbert_mmf.scoring.outcomes import Measured, Outcomes, make_outcomes
from clipbert_mmf.tasks import Chance, Task, register_task
from clipbert_mmf.tasks.datasets import DatasetSpec, register_dataset
from clipbert_mmf.tasks.items import ItemConfig, ItemMaker, QuestionItems
from clipbert_mmf.video.decode import CannotServeError, register_backend

__all__ = [
    "AnnotationFormat",
    "CannotServeError",
    "Chance",
    "DatasetSpec",
    "HeadKind",
    "ItemConfig",
    "ItemMaker",
    "Measured",
    "Outcomes",
    "QuestionItems",
    "Task",
    "TextRecord",
    "make_outcomes",
    "register_backbone",
    "register_backend",
    "register_dataset",
    "register_fold",
    "register_format",
    "register_head",
    "register_task",
]
