"""Counts of the corpora as their owners, or the papers that use them, give them; ``clipbert check-data`` compares."""

from __future__ import annotations

#: Dataset -> split -> rows and media; None where the number is not given.
KNOWN_COUNTS: dict[str, dict[str, tuple[int | None, int | None]]] = {
    "msrvtt_retrieval": {"train": (140_200, 7_010), "val": (1_000, 1_000), "test": (1_000, 1_000)},
    "msrvtt_qa": {"train": (158_581, 6_513), "val": (12_278, 497), "test": (72_821, 2_990)},
    "msrvtt_mc": {"test": (2_990, 2_990)},
    "msvd_qa": {"train": (30_933, 1_200), "val": (6_415, 250), "test": (13_157, 520)},
    "activitynet_qa": {"train": (32_000, 3_200), "val": (18_000, 1_800), "test": (8_000, 800)},
    "activitynet_retrieval": {"train": (None, 10_009), "val": (None, 4_885), "test": (None, 4_917)},
    "didemo_retrieval": {"train": (None, 8_395), "val": (None, 1_065), "test": (None, 1_004)},
    "tgif_qa_action": {"test": (2_274, None)},
    "tgif_qa_transition": {"test": (6_232, None)},
    "tgif_qa_frameqa": {"test": (13_691, None)},
    "tgif_qa_count": {"test": (3_554, None)},
    "coco_captions_retrieval": {"val": (25_010, 5_000), "test": (25_010, 5_000)},
}
