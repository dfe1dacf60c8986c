"""Draw evidence for the page.

A timeline, and the frames of each clip with saliency and attention over them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clipbert_mmf.inference.evidence import Evidence
from clipbert_mmf.report.pictures import ShownWord, crop_padding, join_word_pieces, make_thumbnail, scale_bars

#: Longer sides of the frames in the timeline, and of the frames of the chosen clip.
SMALL_PX, LARGE_PX = 120, 360


@dataclass(frozen=True)
class ShownFrame:
    """A frame of a clip as data URLs: plain, with saliency, and with the attention of ``[CLS]``."""

    plain: str
    saliency: str
    attention: str


@dataclass(frozen=True)
class ShownClip:
    """One clip of the timeline.

    Attributes:
        start_sec: start of the clip; None for an image.
        end_sec: its end; None for an image.
        score: logit of the clip.
        share: length of its bar from the zero line, -100 to 100.
        picture: data URL of its first frame, small.
        frames: its frames, large.
    """

    start_sec: float | None
    end_sec: float | None
    score: float
    share: float
    picture: str
    frames: tuple[ShownFrame, ...]

    @property
    def when(self) -> str:
        """The clip's time in words."""
        return "the image" if self.start_sec is None else f"{self.start_sec:.1f} to {self.end_sec:.1f} s"


@dataclass(frozen=True)
class EvidenceView:
    """The evidence for a text or an answer.

    Attributes:
        label: the answer, or the text.
        clips: the clips in the order of time.
        best: index of the clip with the highest score.
        words: words with what they add to the score.
        method: how saliency was measured, a key of ``SALIENCY_METHODS``.
    """

    label: str
    clips: tuple[ShownClip, ...]
    best: int
    words: tuple[ShownWord, ...]
    method: str


def make_evidence_view(evidence: Evidence) -> EvidenceView:
    """Draw evidence."""
    size = crop_padding(evidence.frames.flatten(0, 1).amax(0))
    times = evidence.times_sec or [(None, None)] * len(evidence.clip_scores)
    shares = scale_bars(evidence.clip_scores.tolist())

    def draw(clip: int, frame: int) -> ShownFrame:
        # A clip is looked at alone: its own strongest place counts as 1.
        picture, saliency, attention = (
            evidence.frames[clip, frame],
            evidence.saliency[clip],
            evidence.attention[clip],
        )
        layers = (None, (saliency / saliency.max().clamp(min=1e-12))[frame], attention / attention.max())
        return ShownFrame(*(make_thumbnail(picture, layer, LARGE_PX, size) for layer in layers))

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
    return EvidenceView(
        evidence.answer or evidence.text,
        clips,
        int(evidence.clip_scores.argmax()),
        tuple(join_word_pieces(evidence.token_attribution)),
        evidence.saliency_method,
    )


def draw_frame(frames: Tensor, clip: int, longest_px: int = SMALL_PX) -> str:
    """Return the middle frame of a clip of ``(K, T, 3, L, L)`` frames as a data URL."""
    chosen = frames[clip, frames.shape[1] // 2]
    return make_thumbnail(chosen, None, longest_px, crop_padding(frames.flatten(0, 1).amax(0)))
