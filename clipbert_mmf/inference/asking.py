"""Ask a trained model about one video: score texts, answer, choose, count (paper sections 3 and 4.1).

Its head says what it can be asked (``HeadKind.asks``); ``ANSWERING`` has one function for each ability.
``ClipBert`` calls these; results are frozen records of plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from clipbert_mmf.configuration import ArgumentError
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.heads import Ability, list_heads
from clipbert_mmf.scoring.answers import round_counts
from clipbert_mmf.scoring.clips import fold_clips, match_times
from clipbert_mmf.scoring.ranking import match_margin, rate_options
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.shown_text import escape_text
from clipbert_mmf.transforms.text import normalize_whitespace
from clipbert_mmf.transforms.tokens import find_equal_tokens


class WrongHeadError(ValueError):
    """Raised for a question that the model's head cannot answer; names the head and what it can be asked."""


class AskedModel(Protocol):
    """The part of ``ClipBert`` that questions need."""

    network: ClipBertNetwork

    @property
    def head_type(self) -> str:
        """Name of the head."""
        ...

    @property
    def asks(self) -> tuple[Ability, ...]:
        """Abilities of the head, the preferred first."""
        ...

    @property
    def answers(self) -> tuple[str, ...]:
        """Answer vocabulary by index; empty where the head has none."""
        ...

    @property
    def has_soft_answers(self) -> bool:
        """Tell whether each answer was trained on its own, so that several may be likely."""
        ...

    def require_answers(self) -> None:
        """Raise ``RecipeError`` where the vocabulary is not known."""
        ...

    def join_options(self, question: str, options: Sequence[str]) -> list[str]:
        """Return each option as a text behind its question, cut as in training."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> TokenBatch:
        """Return N texts as ``(N, L)`` tokens."""
        ...

    def score_encoded(self, visual: Tensor, texts: Sequence[str]) -> Tensor:
        """Return ``(N, K, A)`` scores of every text against every clip, not folded."""
        ...


@dataclass(frozen=True)
class ClipScore:
    """The scores of one clip, before clips are folded.

    Attributes:
        start_sec: start of the clip; None for an image.
        end_sec: its end; None for an image.
        scores: logits in the order of the result's texts or answers.
    """

    start_sec: float | None
    end_sec: float | None
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Scored:
    """Scores of texts against a video.

    Attributes:
        texts: the texts as given.
        probabilities: probability that each text matches, 0 to 1.
        scores: logit of a match minus logit of no match, for each text; retrieval ranks by it.
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
        probability: its probability, 0 to 1; None for a count.
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
        video: the path as given to the search.
        rank: place among the hits, from 1.
        probability: probability that the text matches, 0 to 1.
        score: logit of a match minus logit of no match; hits are ranked by it.
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
    """The visual embeddings of a video; texts are scored against it without reading it again.

    Attributes:
        visual: ``(K, V, D)``.
        times_sec: start and end of each clip; empty for an image.
        name: the video's, for messages.
    """

    visual: Tensor
    times_sec: tuple[tuple[float, float], ...] = ()
    name: str = ""

    def clips(self, rows: Tensor) -> tuple[ClipScore, ...]:
        """Return ``(K, columns)`` scores with the clips' times."""
        times = match_times(self.times_sec, len(rows)) or [(None, None)] * len(rows)
        return tuple(
            ClipScore(start, end, tuple(row)) for (start, end), row in zip(times, rows.tolist(), strict=True)
        )


def clean_texts(texts: Sequence[str]) -> list[str]:
    """Return texts with the white space normalised as in annotation files.

    Raises:
        ValueError: if there is none, or one is empty.
        TypeError: for one string where several are expected.
    """
    if isinstance(texts, str):
        raise TypeError("found a string; expected a list of texts")
    cleaned = [normalize_whitespace(text) for text in texts]
    if not cleaned or not all(cleaned):
        raise ValueError(f"texts are {list(texts)}; expected at least one, none empty")
    for text in cleaned:
        _require_unicode(text)
    return cleaned


def _require_unicode(text: str) -> None:
    """Raise ``ValueError`` for a text that was no UTF-8; the tokenizer would not say so."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the text '{escape_text(text)}' is not UTF-8; type it in UTF-8") from None


#: Ability -> how a user asks for it.
_WAYS: dict[Ability, str] = {
    "score": "clipbert score or search",
    "answer": "clipbert answer",
    "choose": "clipbert answer with --options",
    "count": "clipbert answer",
}


def require_ability(model: AskedModel, ability: Ability) -> None:
    """Raise ``WrongHeadError`` where a model's head lacks an ability."""
    if ability not in model.asks:
        raise WrongHeadError(
            f"this model's head is '{model.head_type}', which can be asked to {_join(model.asks)} and not to "
            f"{ability}; "
            f"heads that can are {', '.join(list_heads(ability))}{_tell_ways(model.asks)}"
        )


def _tell_ways(asks: Sequence[Ability]) -> str:
    ways = dict.fromkeys(_WAYS[ability] for ability in asks if ability in _WAYS)
    return f". Use {' or '.join(ways)} (in Python, the method of that name)" if ways else ""


def _join(asks: Sequence[str]) -> str:
    return " or ".join(asks) or "do nothing (register it with asks=...)"


def score_texts(model: AskedModel, encoded: EncodedMedia, texts: Sequence[str]) -> Scored:
    """Score texts against an encoded video.

    Raises:
        WrongHeadError: if the head cannot score.
    """
    require_ability(model, "score")
    rows, clips = score_matches(model, encoded, clean_texts(texts))
    return Scored(
        tuple(texts), tuple(rows.double().sigmoid().tolist()), tuple(rows.tolist()), encoded.clips(clips.T)
    )


def score_matches(model: AskedModel, encoded: EncodedMedia, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Return match minus no-match logits: ``(N,)`` with clips folded, and ``(N, K)`` of each clip."""
    clip_scores, folded = _score_clips(model, encoded, texts)
    return match_margin(folded), match_margin(clip_scores)


def _score_clips(model: AskedModel, encoded: EncodedMedia, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Return ``(N, K, A)`` scores of the clips and ``(N, A)`` with clips folded, all of them finite."""

    def name(row: int) -> str:
        return f"{encoded.name or 'the video'} with the text {texts[row]!r}"

    clip_scores = check_scores(model.score_encoded(encoded.visual, texts), len(texts), name)
    return clip_scores, check_scores(fold_clips(clip_scores, model.network.fold), len(texts), name)


def answer_from_vocabulary(
    model: AskedModel, encoded: EncodedMedia, question: str, options: list[str], top_k: int
) -> Answer:
    """Answer from the model's vocabulary; with options, only these compete.

    Raises:
        ValueError: if an option is not in the vocabulary.
    """
    model.require_answers()
    clip_scores, folded = _score_clips(model, encoded, [question])
    row = folded[0].double()
    index = {answer: number for number, answer in enumerate(model.answers)}
    columns = torch.arange(len(row))
    if options:
        unknown = [option for option in options if option not in index]
        if unknown:
            raise ValueError(
                f"options {unknown} are not among the model's {len(index)} answers, such as "
                f"{list(model.answers[:5])}"
            )
        columns = torch.tensor([index[option] for option in options])
    # A model of soft answers says yes or no to each of them; options share what is likely in any case.
    soft = model.has_soft_answers and not options
    chances = row[columns].sigmoid() if soft else row[columns].softmax(-1)
    best = chances.sort(descending=True, stable=True)[1][: None if options else top_k]
    candidates = tuple((model.answers[int(columns[i])], float(chances[i])) for i in best)
    return Answer(*candidates[0], candidates, encoded.clips(clip_scores[0][:, columns[best]]))


def choose_option(
    model: AskedModel, encoded: EncodedMedia, question: str, options: list[str], top_k: int
) -> Answer:
    """Choose one of the options; a retrieval model does by how well they match (paper section 4.1, MSRVTT-MC).

    Raises:
        ValueError: if there are no options, or two differ in words and not in tokens.
    """
    if not options:
        raise ValueError(
            f"this model's head is '{model.head_type}', which chooses: give the options, --options A B (in Python, "
            f"options=[...])"
        )
    texts = model.join_options(question, options)
    _refuse_equal_tokens(model, options, texts)
    clips, folded = (rate_options(scores) for scores in _score_clips(model, encoded, texts))
    chances = folded.double().softmax(-1)
    best = chances.sort(descending=True, stable=True)[1]
    candidates = tuple((options[int(i)], float(chances[i])) for i in best)
    return Answer(*candidates[0], candidates, encoded.clips(clips[best].T))


def _refuse_equal_tokens(model: AskedModel, options: list[str], texts: list[str]) -> None:
    pair = find_equal_tokens(model.encode_texts(texts), options)
    if pair:
        raise ValueError(
            f"options '{options[pair[0]]}' and '{options[pair[1]]}' are the same tokens to this model: they "
            f"are cut at its "
            f"limit of tokens, or its tokenizer does not know their words; give shorter ones or other words"
        )


def predict_count(
    model: AskedModel, encoded: EncodedMedia, question: str, options: list[str], top_k: int
) -> Answer:
    """Answer with a whole number.

    Raises:
        ValueError: if there are options.
    """
    if options:
        raise ValueError(f"this model's head is '{model.head_type}', which counts; it takes no options")
    clip_scores, folded = _score_clips(model, encoded, [question])
    count = int(round_counts(folded)[0])
    return Answer(count, None, ((count, None),), encoded.clips(clip_scores[0]), float(folded[0, 0]))


#: Ability -> function that answers a question with it.
ANSWERING: dict[Ability, Callable[[AskedModel, EncodedMedia, str, list[str], int], Answer]] = {
    "answer": answer_from_vocabulary,
    "choose": choose_option,
    "count": predict_count,
}


def clean_question(question: str, options: Sequence[str] | None, top_k: int) -> tuple[str, list[str]]:
    """Return a question and its options with the white space normalised; reads no video.

    Raises:
        TypeError: if the question is no text, or the options are one.
        ValueError: if question and options are empty, or ``top_k`` is below 1.
    """
    if top_k < 1:
        raise ArgumentError(f"{{top_k}} is {top_k}; expected at least 1")
    if not isinstance(question, str):
        raise TypeError(f"question is {type(question).__name__}; expected one text, ask each question alone")
    cleaned = clean_texts(options) if options else []
    question = normalize_whitespace(question)
    _require_unicode(question)
    if not question and not cleaned:
        raise ValueError("the question is empty")
    return question, cleaned


def answer_question(
    model: AskedModel,
    encoded: EncodedMedia,
    question: str,
    options: Sequence[str] | None = None,
    top_k: int = 5,
    ability: Ability | None = None,
) -> Answer:
    """Answer a question about an encoded video.

    Args:
        model: a ``ClipBert``.
        encoded: the video.
        question: may be empty where options are whole sentences.
        options: answers to choose from.
        top_k: candidates listed from an answer vocabulary, at least 1.
        ability: ability of the head to answer with; None takes its first that answers.

    Raises:
        TypeError: if the question is no text, or the options are one.
        WrongHeadError: if the head answers no questions, or lacks the ability.
        ValueError: for options where the head takes none, none where it needs them, or unknown ones.
    """
    question, cleaned = clean_question(question, options, top_k)
    if ability is not None:
        require_ability(model, ability)
    chosen: Ability | None = ability or next((one for one in model.asks if one in ANSWERING), None)
    if chosen is None:
        raise WrongHeadError(
            f"this model's head is '{model.head_type}', which can be asked to {_join(model.asks)} and "
            f"answers no questions"
        )
    return ANSWERING[chosen](model, encoded, question, cleaned, top_k)
