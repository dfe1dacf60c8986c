"""Draw the examples of a report: frames and evidence of the best and the worst predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipbert_mmf.inference.evidence import Evidence, describe_evidence
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.report.pictures import crop_padding, join_word_pieces, make_thumbnail, scale_bars
from clipbert_mmf.report.run_record import RunRecord
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.examples import Example
from clipbert_mmf.video.clips import Clips
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.failures import parse_window
from clipbert_mmf.video.stores.open import open_store


def choose_examples(run: RunRecord, count: int = 3) -> list[Example]:
    """Return up to ``count`` of the best and of the worst predictions of a run."""
    if run.task is None or run.task.choose_examples is None:
        return []
    return run.task.choose_examples(run.predictions, count)


class RunMedia:
    """The test media of a run, for thumbnails.

    Args:
        run: the run; its configuration says where the media are.
        data_dir: directory to use in place of the configured one.

    Raises:
        MediaError: if they are not there.
        KeyError: if the configuration does not name them.
    """

    def __init__(self, run: RunRecord, data_dir: str | Path | None = None):
        section = run.config["dataset_config"][run.dataset]
        root = Path(data_dir or section["data_dir"]).expanduser()
        given = section["media"]["test"]
        places = [given] if isinstance(given, str) else list(given)
        located = [place if "://" in place else str(root / place) for place in places]
        kind = SPECS[run.dataset].media if run.dataset in SPECS else None
        self.store = open_store(located[0] if len(located) == 1 else located, media=kind)

    def read_clips(
        self, model: ClipBert, media_id: str, segment_sec: Sequence[float | None] | None = None
    ) -> Clips:
        """Return the clips that a model reads of a medium, or of the part that a prediction is about.

        Raises:
            MediaError: if it cannot be read.
        """
        window_sec = parse_window(segment_sec)
        return model.preprocessing.read_clips(self.store.read(media_id), key=media_id, window_sec=window_sec)


def show_clips(evidence: Evidence) -> list[dict[str, Any]]:
    """Return pictures, time, score and bar of each clip, as the template reads them."""
    size = crop_padding(evidence.frames.flatten(0, 1).amax(0))
    times = evidence.times_sec or [(None, None)] * len(evidence.clip_scores)
    shares = scale_bars(evidence.clip_scores.tolist())
    return [
        {
            "frame": make_thumbnail(evidence.frames[k, 0], size=size),
            "saliency": make_thumbnail(evidence.frames[k, 0], evidence.saliency[k, 0], size=size),
            "start": times[k][0],
            "end": times[k][1],
            "score": float(evidence.clip_scores[k]),
            "share": shares[k],
        }
        for k in range(len(evidence.clip_scores))
    ]


def _cut_text(model: ClipBert, example: Example) -> str:
    """Return the text as the model reads it: with an option, the question is cut."""
    if not example.option:
        return example.text
    return model.join_options(example.text.removesuffix(example.option).strip(), [example.option])[0]


def illustrate(
    model: ClipBert, media: RunMedia, example: Example, saliency: str | None = None
) -> dict[str, Any]:
    """Return an example with its evidence, or with the reason why there is none, as the template reads it.

    Args:
        model: the model that made the prediction.
        media: the media of the test split.
        example: the prediction.
        saliency: a key of ``SALIENCY_METHODS``; None chooses by the model's grid.
    """
    shown: dict[str, Any] = {"example": example, "clips": [], "words": [], "other": "", "missing": ""}
    try:
        evidence = describe_evidence(
            model,
            media.read_clips(model, example.media_id, example.segment_sec),
            _cut_text(model, example),
            example.answer,
            saliency,
        )
        shown["clips"] = show_clips(evidence)
        shown["words"] = join_word_pieces(evidence.token_attribution)
        if example.other_id:
            frames = media.read_clips(model, example.other_id, example.other_segment_sec).frames
            shown["other"] = make_thumbnail(frames[len(frames) // 2, 0])
    except (MediaError, ValueError, OSError) as error:
        shown["missing"] = str(error)
    return shown
