"""The main job on real encoded files, through MMF's command line: pre-train, fine-tune, evaluate."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.running import demo_options, read_metrics, run_mmf


@pytest.fixture(scope="module")
def damaged(corpus, tmp_path_factory):
    """A copy with broken and missing videos: of the 7 of the test, 1 missing and 1 truncated.

    Of training, 3 empty.
    """
    copy = tmp_path_factory.mktemp("damaged") / "corpus"
    shutil.copytree(corpus, copy)
    videos = sorted((copy / "msrvtt" / "videos").iterdir(), key=lambda path: int(path.stem[5:]))
    for path in videos[:3]:
        path.write_bytes(b"")
    tests = videos[20:27]
    tests[0].unlink()
    tests[1].write_bytes(tests[1].read_bytes()[:300])
    return copy


@pytest.fixture(scope="module")
def pretrained(corpus, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("pretrain")
    run_mmf(demo_options(corpus, "coco_captions_pretraining", save_dir, "run_type=train_val"))
    metrics = read_metrics(save_dir, "val")
    assert (
        0 <= metrics["clipbert_pretraining/mlm_accuracy"] <= 1
        and 0 <= metrics["clipbert_pretraining/itm_accuracy"] <= 1
    )
    return save_dir / "clipbert_final.pth"


@pytest.fixture(scope="module")
def finetuned(damaged, pretrained, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("retrieval")
    output = run_mmf(
        demo_options(
            damaged,
            "msrvtt_retrieval",
            save_dir,
            "run_type=train_val_test",
            "model_config.clipbert.contrastive.weight=0.1",
            f"model_config.clipbert.weights.clipbert={pretrained}",
            "dataset_config.msrvtt_retrieval.max_failure_share=0.5",
        )
    )
    return save_dir, output


def test_fine_tuning_starts_from_the_pretrained_checkpoint_and_says_what_was_new(finetuned):
    _, output = finetuned
    assert "head.hidden.weight" in output and "head.transform.weight" in output


def test_unreadable_test_videos_are_counted_as_misses_and_no_video_is_lost(finetuned):
    metrics = read_metrics(finetuned[0], "test")
    assert metrics["clipbert_retrieval/num_items"] == 7 and metrics["clipbert_retrieval/num_unreadable"] == 2
    # Two of seven texts rank last whatever the model says.
    assert (
        metrics["clipbert_retrieval/t2v_r5"] < 5 / 7 + 1e-6
        and metrics["clipbert_retrieval/v2t_r5"] < 5 / 7 + 1e-6
    )


def test_broken_training_videos_are_listed_with_their_reason(finetuned):
    bad = (finetuned[0] / "unreadable_msrvtt_retrieval.jsonl").read_text()
    assert '"video0"' in bad or '"video1"' in bad or '"video2"' in bad
    assert "no bytes" in bad or "empty" in bad


def evaluate(damaged, finetuned, save_dir, *options, world_size=1):
    """Evaluate the fine-tuned model; return its metrics and what was printed."""
    output = run_mmf(
        demo_options(
            damaged,
            "msrvtt_retrieval",
            save_dir,
            "run_type=test",
            "model_config.clipbert.contrastive.weight=0.1",
            f"model_config.clipbert.weights.clipbert={finetuned[0] / 'clipbert_final.pth'}",
            *options,
        ),
        world_size,
    )
    return read_metrics(save_dir, "test"), output


def read_matrix(store):
    """Return the scores of a store's one combination, NaN where there are none."""
    (place,) = [path for path in store.iterdir() if path.is_dir()]
    matrix = torch.full((7, 7, 2), torch.nan)
    for path in place.glob("*.safetensors"):
        content = load_file(path)
        matrix[int(path.name[5:11]), content["texts"]] = content["scores"]
    return matrix


@pytest.fixture(scope="module")
def alone(damaged, finetuned, tmp_path_factory):
    """One process, all pairs: metrics and scores."""
    folder = tmp_path_factory.mktemp("alone")
    metrics, _ = evaluate(damaged, finetuned, folder / "run", f"evaluation.score_store={folder / 'scores'}")
    return metrics, read_matrix(folder / "scores")


def test_two_processes_resume_what_is_left_and_the_result_is_exactly_that_of_one(
    damaged, finetuned, alone, tmp_path
):
    metrics, scores = alone
    assert int((~scores.isnan().any(-1)).sum()) == 5 * 7  # two of seven videos cannot be read
    store = f"evaluation.score_store={tmp_path / 'scores'}"
    first, _ = evaluate(damaged, finetuned, tmp_path / "first", store, world_size=2)
    assert first == metrics and torch.equal(
        read_matrix(tmp_path / "scores").nan_to_num(), scores.nan_to_num()
    )
    for path in sorted((tmp_path / "scores").glob("*/*.safetensors"))[1:3]:
        path.unlink()  # as if the run had been killed
    again, output = evaluate(damaged, finetuned, tmp_path / "again", store)
    assert again == metrics and torch.equal(
        read_matrix(tmp_path / "scores").nan_to_num(), scores.nan_to_num()
    )
    assert "test of msrvtt_retrieval: 21 of 49 pairs are read from" in output


def test_re_ranking_all_candidates_is_the_exact_result_and_two_processes_re_rank_two(
    damaged, finetuned, alone, tmp_path
):
    metrics, _ = evaluate(damaged, finetuned, tmp_path / "all", "evaluation.rerank_top_k=7")
    assert metrics == alone[0]
    few, output = evaluate(damaged, finetuned, tmp_path / "few", "evaluation.rerank_top_k=2", world_size=2)
    assert few["clipbert_retrieval/num_unreadable"] == 2 and few["clipbert_retrieval/t2v_r5"] <= 5 / 7 + 1e-6
    assert "pairs, the 2 most similar of each query" in output


def test_re_ranking_needs_a_contrastive_head(damaged, finetuned, tmp_path):
    output = run_mmf(
        demo_options(
            damaged,
            "msrvtt_retrieval",
            tmp_path,
            "run_type=test",
            "model_config.clipbert.weights.allow_random=true",
            "evaluation.rerank_top_k=2",
        ),
        fails=True,
    )
    assert "evaluation.rerank_top_k is 2, and the model has no contrastive head to choose with" in output


def test_training_stops_where_too_many_videos_are_broken(damaged, tmp_path):
    output = run_mmf(
        demo_options(damaged, "msrvtt_retrieval", tmp_path, "run_type=train", "training.max_updates=20"),
        fails=True,
    )
    assert "of 20 media cannot be read, more than max_failure_share=0.05 allows" in output


@pytest.mark.parametrize(
    "option, message",
    [
        (
            "model_config.clipbert.fold=median",
            "model_config.clipbert.fold is 'median' (did you mean 'mean'?); allowed are lse, max, mean, sum",
        ),
        (
            "dataset_config.msrvtt_retrieval.media.train=nowhere",
            "dataset_config.msrvtt_retrieval.media.train is 'nowhere'",
        ),
        (
            "dataset_config.msrvtt_retrieval.media.test=nowhere",
            "dataset_config.msrvtt_retrieval.media.test is 'nowhere'",
        ),
    ],
)
def test_a_wrong_configuration_ends_the_run_at_its_start(corpus, tmp_path, option, message):
    assert message in run_mmf(
        demo_options(corpus, "msrvtt_retrieval", tmp_path, "run_type=train_val_test", option), fails=True
    )


def test_two_processes_train_the_contrastive_head_as_one_does(corpus, tmp_path):
    losses = []
    for world_size in (1, 2):
        save_dir = tmp_path / str(world_size)
        run_mmf(
            demo_options(
                corpus,
                "msrvtt_retrieval",
                save_dir,
                "run_type=train",
                "model_config.clipbert.contrastive.weight=1.0",
                "model_config.clipbert.backbone.norm=group",  # batch norm would differ between processes
            ),
            world_size,
        )
        records = [json.loads(line) for line in (save_dir / "metrics.jsonl").read_text().splitlines()]
        losses.append([record["losses"] for record in records if record["split"] == "train"])
    assert len(losses[0]) == 3 and all(
        one["train/msrvtt_retrieval/clipbert_contrastive"] > 0 for one in losses[0]
    )
    for one, two in zip(*losses, strict=True):
        assert two == pytest.approx(one, abs=1e-3)
