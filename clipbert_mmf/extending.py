"""What a user's package calls to add its own parts; ``docs/extending.md`` has a tested example of each.

Registering a name twice with the same thing is allowed, since MMF may import a package again; with another thing it is an
error.
"""

from clipbert_mmf.annotations import AnnotationFormat, TextRecord, register_format
from clipbert_mmf.modules.heads import HeadKind, register_head
from clipbert_mmf.plugin.builder import register_dataset
from clipbert_mmf.scoring.clips import register_fold
from clipbert_mmf.tasks.datasets import DatasetSpec
from clipbert_mmf.video.decode import CannotServeError, register_backend

__all__ = [
    "CannotServeError",
    "DatasetSpec",
    "AnnotationFormat",
    "HeadKind",
    "TextRecord",
    "register_backend",
    "register_dataset",
    "register_fold",
    "register_format",
    "register_head",
]
