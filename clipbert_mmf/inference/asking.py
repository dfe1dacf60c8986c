"""One video, one question: what a trained model can be asked, by its head (paper sections 3 and 4.1).

After ``pretrained``, whose ``ClipBert`` calls these; results are frozen records of plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from clipbert_mmf.modules.heads import MATCH_HEADS
from clipbert_mmf.scoring.answers import round_counts
from clipbert_mmf.scoring.clips import fold_clips, match_times
from clipbert_mmf.scoring.ranking import match_margin, rate_options
from clipbert_mmf.transforms.text import join_question_and_option, normalize_whitespace


class WrongHeadError(ValueError):
    """A question that the model's head cannot answer; says which head it has and what it can be asked."""


@dataclass(frozen=True)
class ClipScore:
    """What one clip says, before clips are folded.

    Attributes:
        start_sec, end_sec: of the clip; None for an image.
        scores: logits in the order of the result's texts or answers.
    """

    start_sec: float | None
    end_sec: float | None
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Scored:
    """How well texts fit a video.

    Attributes:
        texts: as given.
        probabilities: of a match, 0 to 1, for each text.
        scores: how much surer the model is of a match than of none; what retrieval ranks by.
        clips: the scores clip by clip.
    """

    texts: tuple[str, ...]
    probabilities: tuple[float, ...]
    scores: tuple[float, ...]
    clips: tuple[ClipScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes:
        answer: the best one; a whole number where things are counted.
        probability: of it; None for a count.
        candidates: the best answers with their probabilities, or all options, best first.
        value: a count before rounding.
        clips: the candidates' scores clip by clip, in their order.
    """

    answer: str | int
    probability: float | None
    candidates: tuple[tuple[str | int, float | None], ...]
    clips: tuple[ClipScore, ...]
    value: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Hit:
    """A video that a search found.

    Attributes:
        video: as given to the search.
        rank: from 1.
        probability: of a match.
        score: what it is ranked by.
        best_clip_sec: start and end of the clip that fits best; None for an image.
    """

    video: str
    rank: int
    probability: float
    score: float
    best_clip_sec: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class EncodedMedia:
    """A video as the convolutions see it; texts are scored against it without reading it again.

    Attributes:
        visual: ``(K, V, D)``.
        times_sec: start and end of each clip; empty for an image.
    """

    visual: Tensor
    times_sec: tuple[tuple[float, float], ...] = ()

    def clips(self, rows: Tensor) -> tuple[ClipScore, ...]:
        """Return ``(K, columns)`` scores with the clips' times."""
        times = match_times(self.times_sec, len(rows)) or [(None, None)] * len(rows)
        return tuple(ClipScore(start, end, tuple(row)) for (start, end), row in zip(times, rows.tolist()))


def clean_texts(texts: Sequence[str]) -> list[str]:
    """Return texts as annotation files' are read.

    Raises:
        ValueError: if there is none, or one is empty.
        TypeError: for one string where several are expected.
    """
    if isinstance(texts, str):
        raise TypeError("found a string; expected a list of texts")
    cleaned = [normalize_whitespace(text) for text in texts]
    if not cleaned or not all(cleaned):
        raise ValueError(f"texts are {list(texts)}; expected at least one, none empty")
    return cleaned


def score_texts(model, encoded: EncodedMedia, texts: Sequence[str]) -> Scored:
    """Score texts against an encoded video.

    Raises:
        WrongHeadError: if the model answers questions instead.
    """
    require_match_head(model)
    rows, clips = read_matches(model, encoded, clean_texts(texts))
    return Scored(
        tuple(texts), tuple(rows.double().sigmoid().tolist()), tuple(rows.tolist()), encoded.clips(clips.T)
    )


def require_match_head(model) -> None:
    """Raise ``WrongHeadError`` where a model does not tell whether a text fits."""
    if model.head_type not in MATCH_HEADS:
        raise WrongHeadError(
            f"this model's head is '{model.head_type}', which answers questions; ask it with answer(). Scoring and "
            f"searching need one of {', '.join(MATCH_HEADS)}"
        )


def read_matches(model, encoded: EncodedMedia, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Return ``(N,)`` folded and ``(N, K)`` single scores: the difference of the two logits."""
    clip_scores = model.score_encoded(encoded.visual, texts)
    folded = fold_clips(clip_scores, model.network.fold)
    return match_margin(folded), match_margin(clip_scores)


def _answer_from_vocabulary(model, encoded, question, options, top_k) -> Answer:
    model.recipe.require_answers()
    clip_scores = model.score_encoded(encoded.visual, [question])
    row = fold_clips(clip_scores, model.network.fold)[0].double()
    index = {answer: number for number, answer in enumerate(model.answers)}
    columns = torch.arange(len(row))
    if options:
        unknown = [option for option in options if option not in index]
        if unknown:
            raise ValueError(
                f"options {unknown} are not among the model's {len(index)} answers, such as {list(model.answers[:5])}"
            )
        columns = torch.tensor([index[option] for option in options])
    # A model of soft answers says yes or no to each of them; options share what is likely in any case.
    soft = model.has_soft_answers and not options
    chances = row[columns].sigmoid() if soft else row[columns].softmax(-1)
    best = chances.sort(descending=True, stable=True)[1][: None if options else top_k]
    candidates = tuple((model.answers[int(columns[i])], float(chances[i])) for i in best)
    return Answer(*candidates[0], candidates, encoded.clips(clip_scores[0][:, columns[best]]))


def _answer_by_choosing(model, encoded, question, options, top_k) -> Answer:
    if not options:
        raise ValueError(f"this model's head is '{model.head_type}', which chooses: give the options")
    texts = [join_question_and_option(question, option) if question else option for option in options]
    clip_scores = model.score_encoded(encoded.visual, texts)
    folded, clips = rate_options(fold_clips(clip_scores, model.network.fold)), rate_options(clip_scores)
    chances = folded.double().softmax(-1)
    best = chances.sort(descending=True, stable=True)[1]
    candidates = tuple((options[int(i)], float(chances[i])) for i in best)
    return Answer(*candidates[0], candidates, encoded.clips(clips[best].T))


def _answer_by_counting(model, encoded, question, options, top_k) -> Answer:
    if options:
        raise ValueError("this model counts; it takes no options")
    clip_scores = model.score_encoded(encoded.visual, [question])
    folded = fold_clips(clip_scores, model.network.fold)
    count = int(round_counts(folded)[0])
    return Answer(count, None, ((count, None),), encoded.clips(clip_scores[0]), float(folded[0, 0]))


#: Head -> how it answers. A retrieval model chooses among options by how well they fit (paper section 4.1, MSRVTT-MC).
ANSWER_BY_HEAD: dict[str, Callable[..., Answer]] = {
    "classify": _answer_from_vocabulary,
    "choose": _answer_by_choosing,
    "choose_by_match": _answer_by_choosing,
    "match": _answer_by_choosing,
    "pretrain": _answer_by_choosing,
    "regress": _answer_by_counting,
}


def answer_question(
    model, encoded: EncodedMedia, question: str, options: Sequence[str] | None = None, top_k: int = 5
) -> Answer:
    """Answer a question about an encoded video.

    Args:
        model: a ``ClipBert``.
        encoded: the video.
        question: may be empty where options are whole sentences.
        options: answers to choose from.
        top_k: candidates listed of an answer vocabulary.

    Raises:
        ValueError: for options where the head takes none, none where it needs them, or unknown ones.
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; expected at least 1")
    options = clean_texts(options) if options else []
    question = normalize_whitespace(question)
    if not question and not options:
        raise ValueError("the question is empty")
    return ANSWER_BY_HEAD[model.head_type](model, encoded, question, options, top_k)
