"""Evidence becomes a timeline whose bars compare clips, with saliency and attention over every frame."""

import torch

from clipbert_mmf.demo.evidence_view import draw_frame, make_evidence_view
from clipbert_mmf.inference.evidence import Evidence


def make_evidence(times_sec, answer=None):
    clips = max(1, len(times_sec))
    return Evidence(
        "a red circle",
        answer,
        times_sec,
        torch.arange(clips, dtype=torch.float32),
        torch.full((clips, 2, 3, 16, 16), 90, dtype=torch.uint8),
        torch.rand(clips, 2, 2),
        torch.rand(clips, 5),
        torch.rand(clips, 2, 4, 4),
        "grad_cam",
        (("[CLS]", 0.0), ("red", 2.0), ("[SEP]", 0.0)),
    )


def test_the_clip_with_the_highest_score_is_the_best():
    view = make_evidence_view(make_evidence(((0.0, 1.0), (2.0, 3.0))))
    assert (view.label, view.best, view.words, view.method) == (
        "a red circle",
        1,
        (("red", 2.0, 1.0),),
        "grad_cam",
    )
    assert [clip.when for clip in view.clips] == ["0.0 to 1.0 s", "2.0 to 3.0 s"]
    assert [clip.share for clip in view.clips] == [0.0, 100.0]
    frame = view.clips[0].frames[1]
    pictures = {frame.plain, frame.saliency, frame.attention}
    assert len(pictures) == 3 and all(picture.startswith("data:image/jpeg") for picture in pictures)


def test_an_image_has_no_time_and_an_answer_is_its_own_label():
    view = make_evidence_view(make_evidence((), answer="red"))
    assert view.label == "red" and [clip.when for clip in view.clips] == ["the image"]


def test_a_frame_is_drawn_without_its_padding():
    assert draw_frame(torch.full((1, 3, 3, 8, 8), 90, dtype=torch.uint8), 0).startswith("data:image/jpeg")
