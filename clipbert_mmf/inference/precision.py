"""Compares half precision with full: whether decisions agree, and how far the scores differ."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from clipbert_mmf.annotations import read_annotations
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.video.stores.open import open_store

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class PrecisionComparison:
    """The difference of one precision from fp32 on the same pairs.

    Attributes:
        precision: a key of ``PRECISIONS``.
        num_pairs: videos times texts.
        pair_agreement: share of the pairs whose highest output is the same, 0 to 1.
        num_videos: rows of the ranking: videos, or parts of them.
        ranking_agreement: share of the videos whose best text is the same, 0 to 1.
        max_error: largest absolute difference of probabilities.
        mean_error: mean absolute difference of probabilities.
    """

    precision: str
    num_pairs: int
    pair_agreement: float
    num_videos: int
    ranking_agreement: float
    max_error: float
    mean_error: float

    def __str__(self) -> str:
        return (
            f"{self.precision}: {self.pair_agreement:.2%} of {self.num_pairs} pairs decided as in fp32, best "
            f"text the "
            f"same for {self.ranking_agreement:.2%} of {self.num_videos} videos, probabilities apart by at "
            f"most "
            f"{self.max_error:.2g}, by {self.mean_error:.2g} in the mean"
        )


def compare_precision(
    model: ClipBert, videos: Iterable[Tensor], texts: Sequence[str], precision: str
) -> PrecisionComparison:
    """Score every text against every video in fp32 and in a half precision.

    Args:
        model: a model on the device to measure.
        videos: each ``(K, T, 3, L, L)``, as ``model.preprocessing.read`` returns it.
        texts: N texts.
        precision: a key of ``PRECISIONS``.

    Raises:
        ValueError: for another precision, one that this PyTorch does not have on this device, or without
            videos.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is '{precision}'; allowed are {sorted(PRECISIONS)}")
    _require(precision, model.device)
    full, half = [], []
    for frames in videos:
        full.append(model.score_frames(frames[None], texts)[0])
        with torch.autocast(model.device.type, PRECISIONS[precision]):
            half.append(model.score_frames(frames[None], texts)[0])
    if not full:
        raise ValueError("no videos to compare on")
    return compare_scores(torch.stack(full).double(), torch.stack(half).double(), precision)


def _require(precision: str, device: torch.device) -> None:
    # Older versions refuse, or warn and compute in full precision, which would look like perfect agreement.
    one = torch.ones(1, 1, device=device)
    try:
        with warnings.catch_warnings(), torch.autocast(device.type, PRECISIONS[precision]):
            warnings.simplefilter("ignore")
            is_used = (one @ one).dtype == PRECISIONS[precision]
    except RuntimeError:
        is_used = False
    if not is_used:
        raise ValueError(f"PyTorch {torch.__version__} does not compute in {precision} on {device.type}")


def compare_on_annotations(
    location: str,
    media: str,
    texts: str | Path,
    corpus: str,
    precisions: Sequence[str],
    limit: int = 100,
    **options,
) -> list[PrecisionComparison]:
    """Load a model and compare precisions on the media and texts of an annotation file.

    Args:
        location: the model.
        media: store of the media.
        texts: annotation file.
        corpus: formats of the file, a key of ``annotations.FORMATS``.
        precisions: keys of ``PRECISIONS``.
        limit: largest number of records.
        **options: options of ``ClipBert.from_pretrained``.
    """
    model = ClipBert.from_pretrained(location, **options)
    records = list(islice(read_annotations(Path(texts), corpus), limit))
    store = open_store(media, media=model.preprocessing.media)
    parts = dict.fromkeys((record.media_key, record.window_sec) for record in records)
    videos = [
        model.preprocessing.read_clips(store.read(key), key=key, window_sec=window_sec).frames
        for key, window_sec in parts
    ]
    return [compare_precision(model, videos, [record.text for record in records], how) for how in precisions]


def compare_scores(full: Tensor, half: Tensor, precision: str) -> PrecisionComparison:
    """Compare two sets of scores.

    Args:
        full: ``(B, N, A)``, or ``(B, N)`` for a multiple-choice head, whose texts are its options.
        half: scores of the same shape.
        precision: precision of ``half``.
    """
    if full.shape[-1] == 1:  # counts: rounded to decide, apart in units
        errors, pairs = (full - half).abs(), [scores[..., 0].round() for scores in (full, half)]
        best = pairs
    else:
        errors, pairs = (
            (full.softmax(-1) - half.softmax(-1)).abs(),
            [scores.argmax(-1) for scores in (full, half)],
        )
        best = pairs if full.dim() == 2 else [_rank_texts(scores) for scores in (full, half)]
    return PrecisionComparison(
        precision,
        full.shape[0] * full.shape[1],
        float((pairs[0] == pairs[1]).double().mean()),
        len(full),
        float((best[0] == best[1]).double().mean()),
        float(errors.max()),
        float(errors.mean()),
    )


def _rank_texts(scores: Tensor) -> Tensor:
    """Return each video's best text: the highest match, or for answers the surest one."""
    certainty = scores[..., 1] - scores[..., 0] if scores.shape[-1] == 2 else scores.amax(-1)
    return certainty.argmax(-1)
