"""Evidence: what is told adds up, says where a planted thing is, and leaves the model as it was."""

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.saliency import SALIENCY_METHODS, choose_saliency_method
from clipbert_mmf.inference.token_attribution import attribute_tokens
from clipbert_mmf.video.decoded import DecodedVideo
from tests.inference.small_run import make_run

pytest.importorskip("captum", reason="captum is not installed: pip install 'clipbert_mmf[report]'")
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
    assert [piece for piece, _ in evidence.token_attribution][0] == "[CLS]" and len(
        evidence.token_attribution
    ) == evidence.text_attention.shape[1]
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


@pytest.mark.parametrize("name", sorted(SALIENCY_METHODS))
def test_heat_lies_on_what_decides_the_score(tmp_path, tokenizer_dir, name):
    """The network is replaced between grid and score by one that sums channel 0, and channel 0 by brightness."""
    model = make_model(tmp_path / "run", tokenizer_dir, "match")
    network = model.network

    class Brightness(torch.nn.Module):
        def forward(self, pictures):
            cells = torch.nn.functional.avg_pool2d(pictures.mean(1, keepdim=True), 16)
            return torch.cat([cells, torch.zeros_like(cells).expand(-1, 15, -1, -1)], 1)

    network.backbone, network.grid_encoder = torch.nn.Identity(), Brightness()
    network.score_clips = lambda visual, *rest: torch.stack(
        [torch.zeros_like(visual[..., 0].sum(2)), visual[..., 0].sum(2)], -1
    )
    network.visual_embedding = torch.nn.Sequential(torch.nn.Flatten(2), _Transpose())
    frames = torch.full((20, 64, 48, 3), 40, dtype=torch.uint8)
    frames[:, 32:48, 16:32] = 255
    clips = model.preprocessing.read_clips(DecodedVideo(frames, fps=5))
    pictures, told = clips.frames.float(), []

    class Score(torch.nn.Module):
        def forward(self, pixels):
            return network.score_clips(network.encode_clips(pixels.view(1, 3, 2, 3, 64, 64)))[0, :, 1]

    saliency = SALIENCY_METHODS[name](
        Score(), network, pictures, lambda done, total: told.append((done, total))
    )
    assert saliency.shape[:2] == (3, 2) and float(saliency.min()) >= 0
    cells = torch.nn.functional.adaptive_avg_pool2d(saliency.flatten(0, 1), 4).flatten(1)
    assert set(cells.argmax(1).tolist()) == {2 * 4 + 1}
    if name == "occlusion":
        assert [done for done, _ in told] == list(range(told[0][1]))
        assert float(saliency[..., 49:].max()) == 0.0  # what pads the frames is not covered


def test_a_word_weighs_what_the_score_loses_without_it():
    """Scores that are sums over words, so that each word's share is known."""
    worth = torch.tensor([0.0, 2.0, -1.0, 0.5, 0.25])
    ids = torch.tensor([[3, 1, 2, 1, 4, 3]])
    weights = attribute_tokens(lambda rows: worth[rows].sum(1), ids, mask_id=0)
    assert weights.tolist() == [0.0, 2.0, -1.0, 2.0, 0.25, 0.0] and ids.tolist() == [[3, 1, 2, 1, 4, 3]]


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


def test_a_grid_too_coarse_to_point_gets_occlusion():
    assert [choose_saliency_method(None, cells) for cells in (2, 3, 4, 7)] == [
        "occlusion",
        "occlusion",
        "grad_cam",
        "grad_cam",
    ]
    assert choose_saliency_method("grad_cam", 2) == "grad_cam"
    with pytest.raises(ValueError, match="saliency method is 'warm'; allowed are grad_cam, occlusion"):
        choose_saliency_method("warm", 2)


class _Transpose(torch.nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


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
