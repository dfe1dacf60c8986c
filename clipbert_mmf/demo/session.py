"""Ask a model about the videos of a library.

The modes of the page, each bound to an ability of the model's head.

``inference.asking`` answers; this module checks what was typed, reads the video and makes the views that the
page shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clipbert_mmf.demo.evidence_view import EvidenceView, draw_frame, make_evidence_view
from clipbert_mmf.demo.index_search import FIELDS, IndexSearch
from clipbert_mmf.demo.jobs import Job, count_in
from clipbert_mmf.demo.video_library import READ_TIMEOUT_SEC, LibraryVideo, VideoLibrary
from clipbert_mmf.demo.views import AnswerView, Field, FoundVideo, Row
from clipbert_mmf.inference.asking import EncodedMedia, answer_question, score_texts
from clipbert_mmf.inference.evidence import describe_evidence
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.folder_search import search_folder
from clipbert_mmf.modules.heads import Ability
from clipbert_mmf.video.clips import Clips
from clipbert_mmf.video.errors import MediaError

#: Longer input is refused.
MAX_LINES, MAX_LETTERS = 100, 1000
MAX_HITS = 50
_NOT_CALIBRATED = "Percentages are not calibrated."
_OPTIONS = f"Only these options compete. {_NOT_CALIBRATED}"

#: Field name -> lines that were typed.
Lines = Mapping[str, list[str]]


@dataclass(frozen=True)
class Mode:
    """A way to ask.

    Attributes:
        ability: what the head must be able to be asked.
        title: title of the mode on the page.
        button: label of its button.
        fields: its inputs.
        ask: answers; gets the session, the video or None, the lines by field, and the job.
        needs_video: whether a video must be chosen.
    """

    ability: Ability
    title: str
    button: str
    fields: tuple[Field, ...]
    ask: Callable[[DemoSession, LibraryVideo | None, Lines, Job], AnswerView]
    needs_video: bool = True


@dataclass(frozen=True)
class Reply:
    """The model's answer about one video, before the evidence.

    Attributes:
        headline: the answer.
        about: the question.
        note: how to read the rows.
        rows: best first, at least one.
    """

    headline: str
    about: str
    note: str
    rows: tuple[Row, ...]


class DemoSession:
    """Asks one model about the videos of a library.

    Args:
        model: a trained model.
        library: the videos.
        index_folder: where a search keeps what it encoded.
        model_name: where the model was loaded from.
        saliency: how saliency is measured, a key of ``SALIENCY_METHODS``; None chooses by the model's grid.
        index: searched in place of the library's folder; None searches that.
    """

    def __init__(
        self,
        model: ClipBert,
        library: VideoLibrary,
        index_folder: Path,
        model_name: str = "",
        saliency: str | None = None,
        index: IndexSearch | None = None,
    ):
        # A search reads what the folder holds: in the reader process too.
        guarded = model.preprocessing.with_guard(READ_TIMEOUT_SEC)
        model.recipe = replace(model.recipe, preprocessing=guarded)
        self.model = model
        self.library = library
        self.index_folder = index_folder
        self.model_name = model_name
        self.saliency = saliency
        self.index = index

    @property
    def modes(self) -> dict[str, Mode]:
        """The ways this model can be asked, by name, those of its preferred ability first."""
        modes = MODES if self.index is None else _list_index_modes(self.index)
        return {
            name: mode
            for ability in self.model.asks
            for name, mode in modes.items()
            if mode.ability == ability
        }

    def prepare(self, mode: str, video_id: str, values: Mapping[str, str]) -> Callable[[Job], AnswerView]:
        """Check a question, and return the work that answers it.

        Args:
            mode: a key of ``modes``.
            video_id: id of a video of the library; ignored where none is needed.
            values: field name to what was typed.

        Raises:
            ValueError: for an unknown mode, an empty or overlong field, or no video.
            UnknownVideoError: if the video is not there.
        """
        if mode not in self.modes:
            raise ValueError(f"this model cannot be asked by '{mode}'; it knows {', '.join(self.modes)}")
        chosen = self.modes[mode]
        lines = {field.name: _read_field(field, values.get(field.name, "")) for field in chosen.fields}
        if chosen.needs_video and not video_id:
            raise ValueError("choose a video first")
        video = self.library.find(video_id) if chosen.needs_video else None
        return lambda job: chosen.ask(self, video, lines, job)

    def prepare_evidence(self, video_id: str, text: str, answer: str | None) -> Callable[[Job], EvidenceView]:
        """Return the work that explains one text or answer.

        Raises:
            ValueError: for an empty or overlong text.
            UnknownVideoError: if the video is not there.
        """
        text = _read_field(Field("text", "text"), text)[0]
        video = self.library.find(video_id)
        return lambda job: self.explain(self._read(video, job), text, answer, job)

    def explain(self, clips: Clips, text: str, answer: str | None, job: Job) -> EvidenceView:
        """Show when, where and which words speak for a text or an answer."""
        job.say("looking for the evidence")
        evidence = describe_evidence(self.model, clips, text, answer, self.saliency, job.report_progress)
        return make_evidence_view(evidence)

    def _read(self, video: LibraryVideo, job: Job) -> Clips:
        job.say("reading the video")
        return self.library.read_clips(video)

    def answer(self, video: LibraryVideo, job: Job, ask: Callable[[EncodedMedia], Reply]) -> AnswerView:
        """Read a video, ask, and explain the best row."""
        clips = self._read(video, job)
        job.say("asking the model")
        reply = ask(self.model.encode(clips))
        evidence, missing = None, ""
        try:
            evidence = self.explain(clips, reply.rows[0].text, reply.rows[0].answer, job)
        except (ImportError, ValueError) as error:
            # Captum is absent, or this kind of model cannot be explained: the answer stands all the same.
            missing = f"No evidence: {error}"
        return AnswerView(
            reply.headline, reply.about, reply.note, video, reply.rows, evidence, missing=missing
        )


def _read_field(field: Field, value: str) -> list[str]:
    lines = [line.strip() for line in value.splitlines()] if field.has_lines else [" ".join(value.split())]
    lines = [line for line in lines if line]
    if field.is_required and not lines:
        raise ValueError(f"'{field.label}' is empty")
    if len(lines) > MAX_LINES:
        raise ValueError(f"'{field.label}' has {len(lines)} lines; at most {MAX_LINES} are taken")
    if any(len(line) > MAX_LETTERS for line in lines):
        raise ValueError(f"'{field.label}' has a line of more than {MAX_LETTERS} letters")
    return lines


def _first(lines: Lines, name: str) -> str:
    return (lines.get(name) or [""])[0]


def _answer(session: DemoSession, video: LibraryVideo | None, lines: Lines, job: Job) -> AnswerView:
    question, options = _first(lines, "question"), lines.get("options") or []

    def ask(encoded: EncodedMedia) -> Reply:
        answer = answer_question(session.model, encoded, question, options, ability="answer")
        rows = tuple(Row(str(word), chance, question, str(word)) for word, chance in answer.candidates)
        note = _OPTIONS if options else f"Of all answers that the model knows. {_NOT_CALIBRATED}"
        return Reply(f"{answer.answer}: {answer.probability:.0%}", question, note, rows)

    return session.answer(_require(video), job, ask)


def _choose(session: DemoSession, video: LibraryVideo | None, lines: Lines, job: Job) -> AnswerView:
    question = _first(lines, "question")

    def ask(encoded: EncodedMedia) -> Reply:
        answer = answer_question(session.model, encoded, question, lines["options"], ability="choose")
        texts = session.model.join_options(question, [str(option) for option, _ in answer.candidates])
        rows = tuple(
            Row(str(option), chance, text)
            for (option, chance), text in zip(answer.candidates, texts, strict=True)
        )
        headline = f"{answer.answer}: {answer.probability:.0%}"
        return Reply(headline, question or "Which text fits?", _OPTIONS, rows)

    return session.answer(_require(video), job, ask)


def _count(session: DemoSession, video: LibraryVideo | None, lines: Lines, job: Job) -> AnswerView:
    question = _first(lines, "question")

    def ask(encoded: EncodedMedia) -> Reply:
        answer = answer_question(session.model, encoded, question, ability="count")
        rows = (Row(str(answer.answer), None, question),)
        return Reply(str(answer.answer), question, f"{answer.value:.2f} before rounding.", rows)

    return session.answer(_require(video), job, ask)


def _score(session: DemoSession, video: LibraryVideo | None, lines: Lines, job: Job) -> AnswerView:
    def ask(encoded: EncodedMedia) -> Reply:
        scored = score_texts(session.model, encoded, lines["texts"])
        order = sorted(range(len(scored.texts)), key=lambda n: -scored.scores[n])
        rows = tuple(Row(scored.texts[n], scored.probabilities[n], scored.texts[n]) for n in order)
        chance = scored.probabilities[order[0]]
        headline = f"{rows[0].label}: fit {chance:.0%}" if chance >= 0.5 else "Nothing that was asked fits"
        note = f"Each text is judged alone: several may fit, or none. {_NOT_CALIBRATED}"
        return Reply(headline, "How well each text fits", note, rows)

    return session.answer(_require(video), job, ask)


def _require(video: LibraryVideo | None) -> LibraryVideo:
    if video is None:
        raise ValueError("choose a video first")
    return video


def _search(session: DemoSession, video: LibraryVideo | None, lines: Lines, job: Job) -> AnswerView:
    text, videos = _first(lines, "text"), {str(one.path): one for one in session.library.list_folder()}
    top_k = _read_count(_first(lines, "top") or "5")
    if not videos:
        raise ValueError(f"the folder holds no {session.model.preprocessing.media}s to search")
    job.say("encoding videos that are new")
    # All are ranked, so that those that cannot be read are counted.
    hits = search_folder(
        session.model,
        session.model_name,
        session.library.folder,
        [text],
        len(videos),
        index=session.index_folder,
        progress=count_in(job),
    )[text]
    num_left_out = len(videos) - len(hits)
    job.say("drawing what was found")
    found = []
    for hit in job.count(hits[:top_k]):
        shown = videos[hit.video]
        try:
            clips = session.library.read_clips(shown)
            number = clips.times_sec.index(hit.best_clip_sec) if hit.best_clip_sec in clips.times_sec else 0
            picture = draw_frame(clips.frames, number)
        except MediaError:
            picture = ""
        found.append(FoundVideo(shown, hit.rank, hit.probability, hit.best_clip_sec, picture))
    return AnswerView(
        f"The best {len(found)} of {len(hits)}",
        text,
        "Best first; the picture is of the clip that fits best.",
        found=tuple(found),
        missing=f"{num_left_out} of {len(videos)} could not be read and were left out."
        if num_left_out
        else "",
    )


def _read_count(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MAX_HITS:
        raise ValueError(f"the number of videos is '{value}'; expected 1 to {MAX_HITS}")
    return int(value)


def _list_index_modes(index: IndexSearch) -> dict[str, Mode]:
    """Return the ways to ask with an index: its search comes first."""
    search = Mode(
        "score",
        "Search the index",
        "Search",
        FIELDS,
        lambda session, video, lines, job: index.search(lines, job),
        needs_video=False,
    )
    return {"search": search, **{name: mode for name, mode in MODES.items() if name != "search"}}


_ONE_A_LINE = "One on each line."
_QUESTION = Field("question", "Question")
MODES: dict[str, Mode] = {
    "ask": Mode(
        "answer",
        "Ask a question",
        "Ask",
        (
            _QUESTION,
            Field(
                "options",
                "Answers to choose from",
                True,
                False,
                f"{_ONE_A_LINE[:-1]}; left empty, all answers compete.",
            ),
        ),
        _answer,
    ),
    "choose": Mode(
        "choose",
        "Choose among options",
        "Choose",
        (
            Field(
                "question",
                "Question",
                is_required=False,
                hint="May be empty where the options are whole sentences.",
            ),
            Field("options", "Options", True, hint=_ONE_A_LINE),
        ),
        _choose,
    ),
    "count": Mode("count", "Count", "Count", (_QUESTION,), _count),
    "score": Mode(
        "score", "Score texts", "Score", (Field("texts", "Texts", True, hint=_ONE_A_LINE),), _score
    ),
    "search": Mode(
        "score",
        "Search the folder",
        "Search",
        (
            Field("text", "Text to look for"),
            Field("top", "Number of videos", is_required=False, hint=f"1 to {MAX_HITS}; left empty, 5."),
        ),
        _search,
        needs_video=False,
    ),
}
