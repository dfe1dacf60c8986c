"""Evidence as the page shows it: a timeline, and the chosen clip's frames with what speaks for the text over them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbert_mmf.inference.evidence import Evidence
from clipbert_mmf.report.examples import join_pieces, measure_bars
from clipbert_mmf.report.pictures import crop_padding, make_thumbnail

#: Longer sides of the frames under the timeline, and of the chosen clip's.
SMALL_PX, LARGE_PX = 120, 360


@dataclass(frozen=True)
class ShownFrame:
    """A frame of a clip, as data URLs: plain, with heat, and with the attention of ``[CLS]``."""

    plain: str
    heat: str
    attention: str


@dataclass(frozen=True)
class ShownClip:
    """One clip of the timeline.

    Attributes:
        start_sec, end_sec: None for an image.
        score: logit.
        share: 0 to 100, against the other clips.
        picture: data URL of its first frame, small.
        frames: large.
    """

    start_sec: float | None
    end_sec: float | None
    score: float
    share: float
    picture: str
    frames: tuple[ShownFrame, ...]

    @property
    def when(self) -> str:
        """Its time in words."""
        return "the image" if self.start_sec is None else f"{self.start_sec:.1f} to {self.end_sec:.1f} s"


@dataclass(frozen=True)
class Explained:
    """Why a text or an answer has its score.

    Attributes:
        label: the answer, or the text.
        clips: in time.
        best: index of the clip that speaks for it most.
        words: with what they add, from -1 to 1.
        method: how where was measured, a key of ``HEATS``.
    """

    label: str
    clips: tuple[ShownClip, ...]
    best: int
    words: tuple[tuple[str, float], ...]
    method: str


def explain(evidence: Evidence) -> Explained:
    """Draw evidence."""
    size = crop_padding(evidence.frames.flatten(0, 1).amax(0))
    times = evidence.times_sec or [(None, None)] * len(evidence.clip_scores)
    shares = measure_bars(evidence.clip_scores)

    def draw(clip: int, frame: int) -> ShownFrame:
        # One clip is looked at alone: its own strongest place is the measure.
        picture, heat, attention = evidence.frames[clip, frame], evidence.heat[clip], evidence.attention[clip]
        over = (None, (heat / heat.max().clamp(min=1e-12))[frame], attention / attention.max())
        return ShownFrame(*(make_thumbnail(picture, heat, LARGE_PX, size) for heat in over))

    clips = tuple(
        ShownClip(
            *times[k],
            float(evidence.clip_scores[k]),
            shares[k],
            make_thumbnail(evidence.frames[k, 0], None, SMALL_PX, size),
            tuple(draw(k, t) for t in range(evidence.frames.shape[1])),
        )
        for k in range(len(times))
    )
    return Explained(
        evidence.answer or evidence.text,
        clips,
        int(evidence.clip_scores.argmax()),
        tuple(join_pieces(evidence.words)),
        evidence.heat_method,
    )


def draw_frame(frames: Tensor, clip: int, longest_px: int = SMALL_PX) -> str:
    """Return a data URL of a clip's middle frame, of ``(K, T, 3, L, L)``."""
    chosen = frames[clip, frames.shape[1] // 2]
    return make_thumbnail(chosen, None, longest_px, crop_padding(frames.flatten(0, 1).amax(0)))
