"""The contrastive head fitted to the frozen network before training, and hard negatives, through MMF's command line."""

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from tests.e2e.running import demo_options, read_metrics, run_mmf

HEAD = "model_config.clipbert.contrastive"
TOWERS = (
    f"{HEAD}.weight=1",
    f"{HEAD}.type=towers",
    f"{HEAD}.size=20",
    f"{HEAD}.width=32",
    f"{HEAD}.joins_scores=true",
    f"{HEAD}.inputs=standardized",
    f"{HEAD}.num_members=2",
    f"{HEAD}.has_linear_member=true",
    "training.first_stage.epochs=3",
    "training.first_stage.texts=mixed",
    "training.first_stage.views=2",
    "training.first_stage.batch_size=16",
)


@pytest.fixture(scope="module")
def fitted(corpus, tmp_path_factory):
    """A run that ends with its first stage."""
    save_dir = tmp_path_factory.mktemp("fitted")
    output = run_mmf(
        demo_options(
            corpus,
            "msrvtt_retrieval",
            save_dir,
            "run_type=train_val_test",
            *TOWERS,
            "training.max_updates=0",
            "evaluation.rerank_top_k=0",
        )
    )
    return save_dir, output


def test_the_first_stage_alone_trains_the_head_and_nothing_else(fitted):
    save_dir, output = fitted
    assert "first stage: epoch 3 of 3, loss" in output and "features of 20 media" in output
    state = torch.load(save_dir / "best.ckpt", weights_only=False)
    assert state["num_updates"] == 0
    assert float(state["model"]["network.contrastive.midpoint"]) != 0
    assert state["model"]["network.contrastive.video.1.0.mean"].any(), "the statistics of the inputs are kept"
    assert read_metrics(save_dir, "test")["clipbert_retrieval/num_items"] == 7


def test_training_goes_on_from_it_with_negatives_of_the_batch(corpus, fitted, tmp_path):
    output = run_mmf(
        demo_options(
            corpus,
            "msrvtt_retrieval",
            tmp_path / "run",
            "run_type=train_test",
            *TOWERS,
            "training.first_stage.epochs=0",
            "training.max_updates=2",
            f"{HEAD}.hard_negatives=1",
            "model_config.clipbert.losses=[{type: clipbert_match}, {type: clipbert_rank}]",
            "dataset_config.msrvtt_retrieval.negatives_per_positive=0",
            "dataset_config.msrvtt_retrieval.processors.train_media_processor.params.mirror=0.5",
            "dataset_config.msrvtt_retrieval.processors.train_media_processor.params.crop_area=0.5",
            f"model_config.clipbert.weights.clipbert={fitted[0] / 'best.ckpt'}",
            "evaluation.rerank_top_k=2",
        )
    )
    assert "clipbert_rank" in output and "clipbert_contrastive" in output
    model = ClipBert.from_pretrained(tmp_path / "run")
    video = next((corpus / "msrvtt" / "videos").glob("*.mp4"))
    scored = model.score(video, ["a red circle", "a blue star"])
    network = model.network
    with torch.no_grad():
        visual = model.encode(video).visual[None]
        texts = network.embed_texts(*model.encode_texts(["a red circle", "a blue star"]))
        _, clips = network.contrastive.split_summary(visual)
        dots = torch.nn.functional.normalize(clips[0], dim=-1) @ texts.T
    assert clips.shape[-1] == 20 and dots.shape[1] == 2 and len(scored.scores) == 2


def test_options_are_chosen_by_dot_product_alone_and_train_towers_and_backbone(corpus, fitted, tmp_path):
    run_mmf(
        demo_options(
            corpus,
            "msrvtt_mc",
            tmp_path / "run",
            "run_type=train_test",
            *TOWERS,
            "training.first_stage.epochs=0",
            "training.max_updates=2",
            "training.evaluation_interval=0",
            f"{HEAD}.replaces_scores=true",
            "model_config.clipbert.losses=[{type: clipbert_choice_ce}]",
            f"model_config.clipbert.weights.clipbert={fitted[0] / 'best.ckpt'}",
        )
    )
    before = torch.load(fitted[0] / "best.ckpt", weights_only=False)["model"]
    after = torch.load(tmp_path / "run" / "current.ckpt", weights_only=False)["model"]
    changed = {name.split(".")[1] for name in after if not torch.equal(after[name], before[name])}
    assert {"contrastive", "backbone"} <= changed
    assert not changed & {"head", "grid_encoder", "temporal_fusion", "visual_embedding"}
    model = ClipBert.from_pretrained(tmp_path / "run")
    video, texts = next((corpus / "msrvtt" / "videos").glob("*.mp4")), ["a red circle", "a blue star"]
    scored = model.score(video, texts)
    with torch.no_grad():
        _, clips = model.network.contrastive.split_summary(model.encode(video).visual[None])
        vectors = model.network.embed_texts(*model.encode_texts(texts))
        dots = torch.nn.functional.normalize(clips[0], dim=-1) @ vectors.T
        logits = model.network.contrastive.scale * (dots - model.network.contrastive.midpoint)
    found = torch.tensor([clip.scores for clip in scored.clips])
    torch.testing.assert_close(found, logits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ((f"{HEAD}.weight=1", "training.first_stage.epochs=2"), "contrastive.weight=1 and .type=towers"),
        (("training.max_updates=0",), "training.max_updates is 0, so that nothing is trained"),
        (
            ("model_config.clipbert.losses=[{type: clipbert_rank}]", "training.max_updates=1"),
            "model_config.clipbert.contrastive.weight=1 and .hard_negatives=2",
        ),
        ((f"{HEAD}.joins_scores=true", f"{HEAD}.weight=1"), "set type to towers"),
        (
            ("dataset_config.msrvtt_retrieval.processors.eval_media_processor.params.mirror=0.5",),
            "which is for train_media_processor alone",
        ),
    ],
)
def test_what_cannot_be_is_said(corpus, tmp_path, options, message):
    output = run_mmf(
        demo_options(corpus, "msrvtt_retrieval", tmp_path / "run", "run_type=train", *options), fails=True
    )
    assert message in output
