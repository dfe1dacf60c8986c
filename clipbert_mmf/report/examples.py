"""The best and the worst of a file of predictions, and the frames and evidence that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbert_mmf.inference.evidence import Evidence, describe_evidence
from clipbert_mmf.inference.predictions import make_score_matrix
from clipbert_mmf.report.pictures import crop_padding, join_word_pieces, make_thumbnail, scale_bars
from clipbert_mmf.report.run_files import RunFiles
from clipbert_mmf.transforms.text import join_question_and_option
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.stores.open import open_store


@dataclass(frozen=True)
class Example:
    """One prediction worth looking at.

    Attributes:
        media_id: of the video or image that is shown.
        text: that the model reads with it.
        answer: whose evidence is wanted, None for the text's own.
        title: what is asked, for people.
        verdict: what became of it.
        is_right: whether it is a success.
        other_id: the medium that was found instead, or empty.
    """

    media_id: str
    text: str
    answer: str | None
    title: str
    verdict: str
    is_right: bool
    other_id: str = ""


def choose_examples(records: list[dict[str, Any]], count: int = 3) -> list[Example]:
    """Return up to ``count`` of the best and of the worst."""
    choose = EXAMPLES.get(records[0]["task"]) if records else None
    return choose(records, count) if choose else []


def _choose_retrievals(records, count):
    scores, matches, readable, ids = make_score_matrix(records)
    texts = {text["text_id"]: text["text"] for record in records for text in record["texts"]}
    found = []
    for column, text_id in enumerate(ids):
        if not matches[:, column].any() or text_id not in texts:
            continue
        order = scores[:, column].sort(descending=True, stable=True)[1].tolist()
        rank = next(n for n, row in enumerate(order, start=1) if matches[row, column])
        right, first = records[order[rank - 1]], records[order[0]]
        if not right["readable"]:
            continue
        verdict = (
            "found first"
            if rank == 1
            else f"found at rank {rank} of {len(records)}; '{first['media_id']}' came first"
        )
        other = "" if rank == 1 else first["media_id"]
        example = Example(right["media_id"], texts[text_id], None, texts[text_id], verdict, rank == 1, other)
        found.append((rank, -float(scores[order[0], column]), example))
    found.sort(key=lambda entry: entry[:2])
    best = [entry[2] for entry in found if entry[2].is_right][:count]
    return best + [entry[2] for entry in reversed(found) if not entry[2].is_right][:count]


def _choose_questions(records, count):
    def describe(record) -> Example:
        first, target = record["answers"][0], record["target"]
        shown = ", ".join(f"{a} ({s:.2g})" for a, s in target.items()) if isinstance(target, dict) else target
        chance = f", {first['probability']:.0%} sure" if "probability" in first else ""
        right = record["right"] >= 0.5
        verdict = f"answers '{first['answer']}'{chance}" + ("" if right else f"; right is: {shown}")
        by_option = record["task"] == "multiple_choice"
        text = join_question_and_option(record["text"], first["answer"]) if by_option else record["text"]
        answer = first["answer"] if record["task"] in ("open_ended", "soft_answers") else None
        return Example(
            record["media_id"], text.strip(), answer, record["text"] or "which text fits?", verdict, right
        )

    answered = [record for record in records if record["answers"] and record["readable"]]
    surest = sorted(answered, key=lambda record: -(record["answers"][0].get("probability") or 0.0))
    best = [record for record in surest if record["right"] >= 0.5][:count]
    return [
        describe(record) for record in best + [record for record in surest if record["right"] < 0.5][:count]
    ]


EXAMPLES = {
    "retrieval": _choose_retrievals,
    "open_ended": _choose_questions,
    "multiple_choice": _choose_questions,
    "soft_answers": _choose_questions,
    "count": _choose_questions,
}


class MediaOfRun:
    """The test media of a run, for thumbnails.

    Args:
        run: whose configuration says where they are.
        data_dir: in place of the configured one.

    Raises:
        MediaError: if they are not there.
        KeyError: if the configuration does not say.
    """

    def __init__(self, run: RunFiles, data_dir: str | Path | None = None):
        name = run.predictions[0]["dataset"] if run.predictions else run.datasets.split(",")[0]
        section = run.config["dataset_config"][name]
        root = Path(data_dir or section["data_dir"]).expanduser()
        given = section["media"]["test"]
        places = [given] if isinstance(given, str) else list(given)
        located = [place if "://" in place else str(root / place) for place in places]
        self.store = open_store(located[0] if len(located) == 1 else located)

    def read(self, media_id: str):
        """Return a medium's bytes or file."""
        return self.store.read(media_id)


def show_evidence(evidence: Evidence) -> list[dict[str, Any]]:
    """Return what the page shows of each clip: pictures, time, score and its length as a bar."""
    size = crop_padding(evidence.frames.flatten(0, 1).amax(0))
    times, shares = (
        evidence.times_sec or [(None, None)] * len(evidence.clip_scores),
        scale_bars(evidence.clip_scores),
    )
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


def illustrate(model, media: MediaOfRun, example: Example, saliency: str | None = None) -> dict[str, Any]:
    """Return an example with its evidence, or with the reason why there is none; ``saliency`` as for ``describe_evidence``."""
    shown: dict[str, Any] = {"example": example, "clips": [], "words": [], "other": "", "missing": ""}
    try:
        evidence = describe_evidence(
            model, media.read(example.media_id), example.text, example.answer, saliency
        )
        shown["clips"] = show_evidence(evidence)
        shown["words"] = join_word_pieces(evidence.token_attribution)
        if example.other_id:
            frames = model.preprocessing.read(media.read(example.other_id))
            shown["other"] = make_thumbnail(frames[len(frames) // 2, 0])
    except (MediaError, ValueError, OSError) as error:
        shown["missing"] = str(error)
    return shown
