"""A head, a fold, a decoder and a task of one's own.

``env.user_dir=examples/own_parts`` makes them known to a run, ``--user-dir examples/own_parts`` to a verb of
``clipbert``.

model_config.clipbert.head.type=linear_match model_config.clipbert.fold=mean_of_two_best
dataset_config.msrvtt_retrieval.processors.eval_media_processor.params.backend=pillow
dataset_config.video_text_csv.task=exact_count
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from clipbert_mmf.extending import (
    CannotServeError,
    HeadKind,
    register_backend,
    register_fold,
    register_head,
    register_task,
)
from clipbert_mmf.scoring.chance import guess_answer
from clipbert_mmf.tasks.count import COUNT, CountItems


class LinearHead(nn.Module):
    """One linear layer on the pooled vector, where the paper has two."""

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float):
        super().__init__()
        self.num_outputs = num_outputs
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, num_outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return scores ``(P, A)`` for pooled vectors ``(P, D)``."""
        return self.output(self.dropout(pooled))


def mean_of_two_best(clip_logits: Tensor) -> Tensor:
    """Average the two clips that are surest: ``(P, K, A)`` to ``(P, A)``."""
    return clip_logits.topk(min(2, clip_logits.shape[1]), dim=1).values.mean(1)


def read_with_pillow(
    source, reader, wanted: np.ndarray, num_threads: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode GIFs with Pillow; everything else stays with PyAV.

    Args:
        source: bytes or path of the file.
        reader: the open file as PyAV sees it, with ``info`` and ``timeline``.
        wanted: ascending indices of the frames to decode.
        num_threads: what the configuration allows.
    """
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError as error:
        raise CannotServeError("Pillow reads GIFs only") from error
    with image:
        if getattr(image, "n_frames", 1) <= wanted.max():
            raise CannotServeError(f"Pillow counts {getattr(image, 'n_frames', 1)} frames")
        for index in wanted.tolist():
            image.seek(index)
            yield index, np.array(image.convert("RGB"))


class CountOfQuestion(CountItems):
    """Counts, with a word before each question that tells the model to count."""

    def encode(self, texts: list[str]) -> dict[str, Tensor]:
        """Return the tokens of ``count: <question>``."""
        return super().encode([f"count: {text}" for text in texts])


#: Counting, judged by how many counts are exact in place of the squared error.
EXACT_COUNT = replace(
    COUNT,
    name="exact_count",
    training_items=CountOfQuestion,
    evaluation_items=CountOfQuestion,
    main_number="accuracy",
    smaller_is_better=False,
    chance=replace(COUNT.chance, guess=guess_answer),
)

# A model with this head can be asked to score texts and to choose among options.
register_head("linear_match", HeadKind(2, LinearHead, asks=("score", "choose")))
register_fold("mean_of_two_best", mean_of_two_best)
register_backend("pillow", read_with_pillow)
register_task(EXACT_COUNT)
