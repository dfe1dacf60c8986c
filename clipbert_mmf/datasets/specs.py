"""The table of datasets: one row each. A new dataset is a row here (or in a user's package) and a YAML file.

``corpus`` chooses the parsers in ``annotations``; ``task`` the sample makers in ``tasks``; ``media`` the processor.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSpec:
    """One registered dataset.

    Attributes:
        name: key in MMF's registry and under ``dataset_config``.
        corpus: whose annotation formats it reads.
        task: a key of ``tasks.TASKS``.
        media: ``video`` or ``image``.
    """

    name: str
    corpus: str
    task: str
    media: str


SPECS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec("msrvtt_retrieval", corpus="msrvtt", task="retrieval", media="video"),
        DatasetSpec("coco_captions_pretraining", corpus="coco_captions", task="pretraining", media="image"),
    )
}
