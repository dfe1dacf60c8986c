"""What the page can ask a model, by its head, and how it is asked.

After ``shelf``, into ``records``; the model's own words are in ``inference.asking``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipbert_mmf.demo.jobs import Job, count_in
from clipbert_mmf.demo.pictures import Explained, draw_frame, explain
from clipbert_mmf.demo.records import Field, FoundVideo, Row, Told
from clipbert_mmf.demo.shelf import Shelf, ShownVideo
from clipbert_mmf.inference.asking import answer_question, score_texts
from clipbert_mmf.inference.evidence import describe_evidence
from clipbert_mmf.inference.preprocessing import Clips
from clipbert_mmf.library.search_index import SearchIndex
from clipbert_mmf.transforms.text import join_question_and_option
from clipbert_mmf.video.errors import MediaError

#: More of either is no question any more.
MAX_LINES, MAX_LETTERS = 100, 1000
MAX_HITS = 50


@dataclass(frozen=True)
class Mode:
    """A way to ask.

    Attributes:
        title: for people.
        button: what its button says.
        fields: its inputs.
        ask: gets the asker, the video or None, the values by field, and the job.
        needs_video: whether one must be chosen.
    """

    title: str
    button: str
    fields: tuple[Field, ...]
    ask: Callable[[Asker, ShownVideo | None, Mapping[str, list[str]], Job], Told]
    needs_video: bool = True


class Asker:
    """Asks one model about the videos of a shelf.

    Args:
        model: a ``ClipBert``.
        shelf: the videos.
        index_folder: where a search keeps what it encoded.
        heat: how where is measured, a key of ``HEATS``; None: by the model's grid.
    """

    def __init__(self, model, shelf: Shelf, index_folder: Path, heat: str | None = None):
        self.model = model
        self.shelf = shelf
        self.index_folder = index_folder
        self.heat = heat
        self._index: SearchIndex | None = None

    @property
    def modes(self) -> dict[str, Mode]:
        """The ways this model can be asked, by name."""
        return {name: MODES[name] for name in MODES_BY_HEAD[self.model.head_type]}

    @property
    def index(self) -> SearchIndex:
        """The folder's encodings; opened at the first search."""
        if self._index is None:
            self._index = SearchIndex(self.index_folder, self.model)
        return self._index

    def prepare(self, mode: str, video_id: str, values: Mapping[str, str]) -> Callable[[Job], Told]:
        """Check a question, and return the work that answers it.

        Args:
            mode: a key of ``modes``.
            video_id: of the shelf; ignored where none is needed.
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
        video = self.shelf.find(video_id) if chosen.needs_video else None
        return lambda job: chosen.ask(self, video, lines, job)

    def prepare_evidence(self, video_id: str, text: str, answer: str | None) -> Callable[[Job], Explained]:
        """Return the work that says why, for one text or answer; raises as ``prepare``."""
        text = _read_field(Field("text", "text"), text)[0]
        video = self.shelf.find(video_id)
        return lambda job: self.explain(self._read(video, job), text, answer, job)

    def explain(self, clips: Clips, text: str, answer: str | None, job: Job) -> Explained:
        """Say when, where and which words."""
        job.say("looking for the evidence")
        return explain(describe_evidence(self.model, clips, text, answer, self.heat, job.tell))

    def _read(self, video: ShownVideo, job: Job) -> Clips:
        job.say("reading the video")
        return self.shelf.read_clips(video)

    def tell(self, video: ShownVideo, job: Job, ask: Callable[..., tuple[str, str, str, list[Row]]]) -> Told:
        """Read a video, ask, and explain the best row."""
        clips = self._read(video, job)
        job.say("asking the model")
        headline, about, note, rows = ask(self.model.encode(clips))
        explained, missing = None, ""
        try:
            explained = self.explain(clips, rows[0].text, rows[0].answer, job)
        except (ImportError, ValueError) as error:
            # Captum is absent, or the model is none that can be explained: the answer stands all the same.
            missing = f"No evidence: {error}"
        return Told(headline, about, note, video, tuple(rows), explained, missing=missing)


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


def _ask_question(asker: Asker, video: ShownVideo, values: Mapping[str, list[str]], job: Job) -> Told:
    question, options = (values.get("question") or [""])[0], values.get("options") or []
    by_choosing = asker.model.head_type != "classify"

    def ask(encoded):
        answer = answer_question(asker.model, encoded, question, options)
        rows = [
            Row(str(candidate), chance, join_question_and_option(question, candidate), None)
            if by_choosing
            else Row(str(candidate), chance, question, str(candidate))
            for candidate, chance in answer.candidates
        ]
        note = (
            "Probabilities of the answers that the model knows."
            if not options
            else "Only these options compete."
        )
        return f"{answer.answer}: {answer.probability:.0%} sure", question or "Which text fits?", note, rows

    return asker.tell(video, job, ask)


def _count(asker: Asker, video: ShownVideo, values: Mapping[str, list[str]], job: Job) -> Told:
    def ask(encoded):
        question = values["question"][0]
        answer = answer_question(asker.model, encoded, question)
        note = f"{answer.value:.2f} before rounding."
        return str(answer.answer), question, note, [Row(str(answer.answer), None, question)]

    return asker.tell(video, job, ask)


def _score(asker: Asker, video: ShownVideo, values: Mapping[str, list[str]], job: Job) -> Told:
    def ask(encoded):
        scored = score_texts(asker.model, encoded, values["texts"])
        order = sorted(range(len(scored.texts)), key=lambda n: -scored.scores[n])
        rows = [Row(scored.texts[n], scored.probabilities[n], scored.texts[n]) for n in order]
        best = rows[0]
        fits = best.probability >= 0.5
        headline = f"{best.label}: {best.probability:.0%} sure" if fits else "Nothing that was asked fits"
        return (
            headline,
            "How well each text fits",
            "Each text is judged alone: several may fit, or none.",
            rows,
        )

    return asker.tell(video, job, ask)


def _search(asker: Asker, video: None, values: Mapping[str, list[str]], job: Job) -> Told:
    text, videos = values["text"][0], {str(video.path): video for video in asker.shelf.list_folder()}
    top_k = _read_count((values.get("top") or ["5"])[0])
    if not videos:
        raise ValueError(f"the folder holds no {asker.model.preprocessing.media}s to search")
    job.say("encoding videos that are new")
    # All are ranked, so that those that cannot be read are counted.
    hits = asker.model.search([text], list(videos), len(videos), asker.index, progress=count_in(job))[text]
    left_out = len(videos) - len(hits)
    job.say("drawing what was found")
    found = []
    for hit in job.count(hits[:top_k]):
        shown = videos[hit.video]
        try:
            clips = asker.shelf.read_clips(shown)
            number = clips.times_sec.index(hit.best_clip_sec) if hit.best_clip_sec in clips.times_sec else 0
            picture = draw_frame(clips.frames, number)
        except MediaError:
            picture = ""
        found.append(FoundVideo(shown, hit.rank, hit.probability, hit.best_clip_sec, picture))
    missing = f"{left_out} of {len(videos)} could not be read and were left out." if left_out else ""
    return Told(
        f"The best {len(found)} of {len(hits)}",
        text,
        "Best first; the picture is of the clip that fits best.",
        found=tuple(found),
        missing=missing,
    )


def _read_count(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MAX_HITS:
        raise ValueError(f"the number of videos is '{value}'; expected 1 to {MAX_HITS}")
    return int(value)


_OPTIONS_HINT = "One on each line."
MODES: dict[str, Mode] = {
    "ask": Mode(
        "Ask a question",
        "Ask",
        (
            Field("question", "Question"),
            Field(
                "options",
                "Answers to choose from",
                True,
                False,
                "One on each line; left empty, all answers compete.",
            ),
        ),
        _ask_question,
    ),
    "choose": Mode(
        "Choose among options",
        "Choose",
        (
            Field(
                "question",
                "Question",
                is_required=False,
                hint="May be empty where the options are whole sentences.",
            ),
            Field("options", "Options", True, hint=_OPTIONS_HINT),
        ),
        _ask_question,
    ),
    "count": Mode("Count", "Count", (Field("question", "Question"),), _count),
    "score": Mode("Score texts", "Score", (Field("texts", "Texts", True, hint=_OPTIONS_HINT),), _score),
    "search": Mode(
        "Search the folder",
        "Search",
        (
            Field("text", "What to look for"),
            Field("top", "How many videos", is_required=False, hint=f"1 to {MAX_HITS}; left empty, 5."),
        ),
        _search,
        needs_video=False,
    ),
}
MODES_BY_HEAD: dict[str, tuple[str, ...]] = {
    "match": ("score", "search", "choose"),
    "pretrain": ("score", "search", "choose"),
    "choose_by_match": ("choose", "score", "search"),
    "choose": ("choose",),
    "classify": ("ask",),
    "regress": ("count",),
}
