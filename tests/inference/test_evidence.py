"""Evidence: what is told adds up, says where a planted thing is, and leaves the model as it was."""

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.video.decoded import DecodedVideo
from tests.inference.small_run import make_run

pytest.importorskip("captum", reason="captum is not installed: pip install captum")
VIDEO = DecodedVideo(torch.arange(20 * 48 * 64 * 3).remainder(251).to(torch.uint8).view(20, 48, 64, 3), fps=5)


def make_model(folder, tokenizer_dir, head, answers=()):
    import json

    make_run(folder, tokenizer_dir, head={"type": head, "num_answers": len(answers) or None})
    (folder / "answers_msrvtt_retrieval.json").write_text(
        json.dumps({a: i for i, a in enumerate(answers or ["x"])})
    )
    return ClipBert.from_pretrained(folder)


@pytest.mark.parametrize("head", ["match", "classify", "choose", "regress", "pretrain"])
def test_evidence_of_every_head_adds_up(tmp_path, tokenizer_dir, head):
    model = make_model(tmp_path / "run", tokenizer_dir, head, ("red", "green") if head == "classify" else ())
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    evidence = model.describe_evidence(VIDEO, "a red circle", saliency="grad_cam")
    clips, frames = 3, 2
    assert evidence.clip_scores.shape == (clips,) and evidence.frames.shape == (clips, frames, 3, 64, 64)
    assert evidence.saliency.shape[:2] == (clips, frames) and evidence.attention.shape == (
        clips,
        *evidence.saliency.shape[2:],
    )
    total = evidence.attention.flatten(1).sum(1) + evidence.text_attention.sum(1)
    assert (
        torch.allclose(total, torch.ones(clips))
        and 0 <= float(evidence.saliency.min()) <= float(evidence.saliency.max()) <= 1
    )
    assert (
        next(piece for piece, _ in evidence.token_attribution) == "[CLS]"
        and len(evidence.token_attribution) == evidence.text_attention.shape[1]
    )
    assert (evidence.answer in ("red", "green")) == (head == "classify")
    assert not model.network.training and all(
        parameter.grad is None for parameter in model.network.parameters()
    )
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.network.modules())


def test_the_clip_scores_are_those_that_are_folded(tmp_path, tokenizer_dir):
    model = make_model(tmp_path / "run", tokenizer_dir, "match")
    evidence = model.describe_evidence(VIDEO, "a red circle")
    assert (
        evidence.saliency_method == "occlusion"
        and evidence.saliency.shape == (3, 2, 64, 64)
        and float(evidence.saliency.min()) >= 0
    )
    scored = model.score(VIDEO, ["a red circle"])
    assert evidence.clip_scores.tolist() == pytest.approx([clip.scores[0] for clip in scored.clips], abs=1e-5)
    assert evidence.times_sec[0] == (scored.clips[0].start_sec, scored.clips[0].end_sec)


@pytest.mark.parametrize("head, answers", [("match", ()), ("classify", ("red", "green"))])
def test_the_words_are_those_of_the_best_clip(tmp_path, tokenizer_dir, head, answers):
    model = make_model(tmp_path / "run", tokenizer_dir, head, answers)
    evidence = model.describe_evidence(VIDEO, "a red circle", saliency="grad_cam")
    best = int(evidence.clip_scores.argmax())
    visual = model.encode(VIDEO).visual[best : best + 1]

    def score(text):
        row = model.score_encoded(visual, [text])[0, 0]
        return (
            float(row[1] - row[0])
            if head == "match"
            else float(row.log_softmax(-1)[answers.index(evidence.answer)])
        )

    expected = [
        score("a red circle") - score(text)
        for text in ("[MASK] red circle", "a [MASK] circle", "a red [MASK]")
    ]
    assert [weight for _, weight in evidence.token_attribution[1:-1]] == pytest.approx(expected, abs=1e-5)


def test_what_cannot_be_explained_is_named(tmp_path, tokenizer_dir):
    model = make_model(tmp_path / "run", tokenizer_dir, "classify", ("red", "green"))
    assert model.describe_evidence(VIDEO, "what color", "green", "grad_cam").answer == "green"
    with pytest.raises(ValueError, match="'pink' is not among the model's 2 answers"):
        model.describe_evidence(VIDEO, "what color", "pink")
    with pytest.raises(ValueError, match="the text is empty"):
        model.describe_evidence(VIDEO, " ")
    matching = make_model(tmp_path / "other", tokenizer_dir, "match")
    with pytest.raises(ValueError, match="head is 'match', which has no answers"):
        matching.describe_evidence(VIDEO, "a", "red")
