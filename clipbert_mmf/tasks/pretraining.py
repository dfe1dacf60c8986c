"""Pre-training on images with captions.

Predict hidden words (MLM) and whether a caption matches (ITM, paper section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.scoring.chance import guess_answer
from clipbert_mmf.scoring.outcomes import Measured, make_outcomes
from clipbert_mmf.scoring.ranking import match_margin
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.tasks.items import ItemConfig, ItemMaker, TextProcessor, require_share
from clipbert_mmf.tasks.judging import Records, collect_correct, count_records, list_media
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations
from clipbert_mmf.tasks.record_fields import SHARE, TEXT, WHOLE
from clipbert_mmf.tasks.task import Chance, Task, register_task
from clipbert_mmf.transforms.text import mask_tokens


class MaskingTextProcessor(Protocol):
    """A text processor that knows which tokens may be hidden."""

    mask_id: int
    vocab_size: int

    def __call__(self, texts: list[str]) -> TokenBatch:
        """Encode texts."""
        ...

    def is_maskable(self, tokens: TokenBatch) -> Tensor:
        """Return ``(N, L)`` bool: words, not padding and special tokens."""
        ...


@dataclass(frozen=True)
class PretrainingConfig(ItemConfig):
    """Settings of items.

    Attributes:
        texts_per_item: captions of an image that are read with one decoding of it.
        swap_probability: share of the captions that are another image's.
        mlm_probability: share of the tokens that are to be predicted.
        mask_special_tokens: whether ``[CLS]`` and ``[SEP]`` may be hidden too, as in the released code.
    """

    texts_per_item: int = 2
    swap_probability: float = 0.5
    mlm_probability: float = 0.15
    mask_special_tokens: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share("swap_probability", self.swap_probability)
        require_share("mlm_probability", self.mlm_probability)


class PretrainingItems(ItemMaker):
    """Captions of an image, some swapped for another image's, then with hidden words; target 1 is a match."""

    Config: ClassVar[type[ItemConfig]] = PretrainingConfig

    def __init__(
        self,
        records: PackedRecords,
        text_processor: TextProcessor,
        config: PretrainingConfig | None = None,
        answers: Mapping[str, int] | None = None,
        is_training: bool = False,
    ):
        self.config = config or PretrainingConfig()
        super().__init__(records, text_processor, self.config, answers, is_training)

    def check_texts(self) -> None:
        """Raise ``ValueError`` where an image has no text to swap with."""
        if self.config.swap_probability:
            self.check_negatives()

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return captions with hidden words, their ``lm_label_ids`` ``(N, L)``, and targets ``(N,)``."""
        rows, padding = self.fill(item)
        matches = (rng.random(len(rows)) >= self.config.swap_probability).astype(np.int64)
        segment = self.segment_index(item)
        texts = [
            self.records.text(int(row)) if match else self.draw_other_text(segment, rng)
            for row, match in zip(rows, matches, strict=True)
        ]
        processor = cast(MaskingTextProcessor, self.text_processor)
        tokens = processor(texts)
        hidden, labels = mask_tokens(
            tokens.input_ids,
            tokens.input_mask == 1 if self.config.mask_special_tokens else processor.is_maskable(tokens),
            rng,
            mask_id=processor.mask_id,
            vocab_size=processor.vocab_size,
            probability=self.config.mlm_probability,
        )
        return {
            **tokens._replace(input_ids=hidden)._asdict(),
            "lm_label_ids": labels,
            "targets": torch.from_numpy(matches),
            **padding,
        }


def write_pretraining(split: SplitAnnotations, prediction: ItemPrediction) -> Iterator[dict[str, Any]]:
    """Yield one record per caption, which may be another image's.

    Whether the model took it for this one's.
    """
    for n, row in split.iterate_rows(prediction):
        logit = match_margin(prediction.scores[n])
        target = int(prediction.targets[n])
        yield {
            "text_id": split.maker.records[row].text_id,
            "match_probability": float(logit.double().sigmoid()),
            "target": target,
            "correct": float(prediction.readable and int(prediction.scores[n].argmax()) == target),
            "clips": [],
        }


def judge_pretraining(records: Records) -> Measured:
    """Return the accuracy of matching; hidden words are not recorded."""
    right = make_outcomes(
        collect_correct(records), list_media(records), "accuracy of matching", is_share=True
    )
    return Measured({"itm_accuracy": right}, count_records(records))


PRETRAINING = Task(
    "pretraining",
    training_items=PretrainingItems,
    evaluation_items=PretrainingItems,
    heads=("pretrain",),
    asks="score",
    reads="captions",
    metric="clipbert_pretraining",
    main_number="itm_accuracy",
    further_curves=("mlm_accuracy",),
    chance=Chance(guess_answer, lambda prediction: prediction["target"]),
    write_records=write_pretraining,
    judge_records=judge_pretraining,
    record_fields={"text_id": TEXT, "match_probability": SHARE, "target": WHOLE, "correct": SHARE},
)
register_task(PRETRAINING)
