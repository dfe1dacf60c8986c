"""The table of datasets: one row each.

A new dataset is a row here (or in a user's package) and a YAML file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clipbert_mmf.annotations import FORMATS
from clipbert_mmf.annotations.records import WrongTableError
from clipbert_mmf.configuration import suggest
from clipbert_mmf.tasks import TASKS
from clipbert_mmf.tasks.task import name_readers
from clipbert_mmf.video.endings import MEDIA_ENDINGS


@dataclass(frozen=True)
class DatasetSpec:
    """One registered dataset.

    Attributes:
        name: key in MMF's registry and under ``dataset_config``.
        corpus: annotation formats that it reads, a key of ``FORMATS``.
        task: a key of ``TASKS``; empty where the configuration's ``task`` says it.
        media: ``video`` or ``image``.
        config: path of its default configuration; empty for ``configs/datasets/<name>/defaults.yaml`` of this
            package.
    """

    name: str
    corpus: str
    task: str
    media: str
    config: str = ""


SPECS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec("msrvtt_retrieval", corpus="msrvtt", task="retrieval", media="video"),
        DatasetSpec("didemo_retrieval", corpus="didemo", task="retrieval", media="video"),
        DatasetSpec("activitynet_retrieval", corpus="activitynet", task="retrieval", media="video"),
        DatasetSpec("msrvtt_qa", corpus="msrvtt_qa", task="open_ended", media="video"),
        DatasetSpec("msvd_qa", corpus="msvd_qa", task="open_ended", media="video"),
        DatasetSpec("activitynet_qa", corpus="activitynet_qa", task="open_ended", media="video"),
        DatasetSpec("msrvtt_mc", corpus="msrvtt_choice", task="multiple_choice", media="video"),
        DatasetSpec("tgif_qa_action", corpus="tgif_choice", task="multiple_choice", media="video"),
        DatasetSpec("tgif_qa_transition", corpus="tgif_choice", task="multiple_choice", media="video"),
        DatasetSpec("tgif_qa_frameqa", corpus="tgif_frameqa", task="open_ended", media="video"),
        DatasetSpec("tgif_qa_count", corpus="tgif_count", task="count", media="video"),
        DatasetSpec("coco_captions_pretraining", corpus="coco_captions", task="pretraining", media="image"),
        DatasetSpec("visual_genome_pretraining", corpus="visual_genome", task="pretraining", media="image"),
        DatasetSpec("coco_vg_pretraining", corpus="image_text", task="pretraining", media="image"),
        DatasetSpec("coco_captions_retrieval", corpus="coco_captions", task="retrieval", media="image"),
        DatasetSpec("video_text_csv", corpus="video_text", task="", media="video"),
        DatasetSpec("vqa2_pixels", corpus="vqa2", task="vqa", media="image"),
    )
}

#: Called with every dataset that is registered later. The plugin adds one that makes it known to MMF, so that
#: a user's package can be imported where MMF is not installed.
REGISTRATION_LISTENERS: list[Callable[[DatasetSpec], None]] = []


def register_dataset(spec: DatasetSpec) -> None:
    """Make a dataset known, to MMF as ``dataset=<spec.name>``.

    A user's package calls this when it is imported.

    Raises:
        ValueError: if the name is taken by another dataset, or corpus, task or medium are unknown.
    """
    if SPECS.get(spec.name, spec) != spec:
        raise ValueError(f"a dataset '{spec.name}' is registered already")
    for key, value, allowed in (
        ("corpus", spec.corpus, set(FORMATS)),
        ("task", spec.task, {"", *TASKS}),
        ("media", spec.media, set(MEDIA_ENDINGS)),
    ):
        if value not in allowed:
            raise ValueError(
                f"dataset '{spec.name}': {key} is '{value}'{suggest(value, allowed)}; allowed are "
                f"{sorted(allowed)}"
            )
    for listener in REGISTRATION_LISTENERS:
        listener(spec)
    SPECS[spec.name] = spec


def explain_wrong_table(error: WrongTableError) -> str:
    """Return the error's text with the datasets or tasks that read such a file."""
    names = [
        f"dataset={spec.name} (projects/clipbert/configs/{spec.name}/defaults.yaml)"
        for spec in SPECS.values()
        if spec.corpus in error.corpora and spec.task
    ]
    if error.holds:
        return f"{error}. {name_readers(error.holds)}"
    return f"{error}. Such a file is read by {' or '.join(names)}" if names else str(error)
