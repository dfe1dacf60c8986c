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
        task: a key of ``tasks.TASKS``; empty where the configuration's ``task`` says it.
        media: ``video`` or ``image``.
        config: path of its default configuration; empty for ``configs/datasets/<name>/defaults.yaml`` of this package.
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
        DatasetSpec("vqa2_pixels", corpus="vqa2", task="soft_answers", media="image"),
    )
}
