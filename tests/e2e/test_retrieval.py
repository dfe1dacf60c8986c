"""The main job on real encoded files, through MMF's command line: pre-train, fine-tune, evaluate."""

import shutil

import pytest
from tests.e2e.running import demo_options, read_metrics, run_mmf


@pytest.fixture(scope="module")
def damaged(corpus, tmp_path_factory):
    """A copy with broken and missing videos: of the 7 of the test, 1 missing and 1 truncated; of training, 3 empty."""
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
    assert 0 <= metrics["clipbert_mlm_accuracy"] <= 1 and 0 <= metrics["clipbert_itm_accuracy"] <= 1
    return save_dir / "clipbert_final.pth"


@pytest.fixture(scope="module")
def finetuned(damaged, pretrained, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("retrieval")
    output = run_mmf(demo_options(
        damaged, "msrvtt_retrieval", save_dir, "run_type=train_val_test",
        f"model_config.clipbert.weights.clipbert={pretrained}", "dataset_config.msrvtt_retrieval.max_failure_share=0.5",
    ))
    return save_dir, output


def test_fine_tuning_starts_from_the_pretrained_checkpoint_and_says_what_was_new(finetuned):
    _, output = finetuned
    assert "head.hidden.weight" in output and "head.transform.weight" in output


def test_unreadable_test_videos_are_counted_as_misses_and_no_video_is_lost(finetuned):
    metrics = read_metrics(finetuned[0], "test")
    assert metrics["clipbert_num_items"] == 7 and metrics["clipbert_num_unreadable"] == 2
    # Two of seven texts rank last whatever the model says.
    assert metrics["clipbert_t2v_r5"] < 5 / 7 + 1e-6 and metrics["clipbert_v2t_r5"] < 5 / 7 + 1e-6


def test_broken_training_videos_are_listed_with_their_reason(finetuned):
    bad = (finetuned[0] / "unreadable_msrvtt_retrieval.jsonl").read_text()
    assert '"video0"' in bad or '"video1"' in bad or '"video2"' in bad
    assert "no bytes" in bad or "empty" in bad


def test_two_processes_evaluate_exactly_as_one(damaged, finetuned, tmp_path):
    checkpoint = finetuned[0] / "clipbert_final.pth"
    results = []
    for world_size in (1, 2):
        save_dir = tmp_path / str(world_size)
        run_mmf(demo_options(
            damaged, "msrvtt_retrieval", save_dir, "run_type=test", f"model_config.clipbert.weights.clipbert={checkpoint}",
        ), world_size)
        results.append(read_metrics(save_dir, "test"))
    assert results[0] == results[1]


def test_training_stops_where_too_many_videos_are_broken(damaged, tmp_path):
    output = run_mmf(demo_options(damaged, "msrvtt_retrieval", tmp_path, "run_type=train", "training.max_updates=20"),
                     fails=True)
    assert "of 20 media cannot be read, more than max_failure_share=0.05 allows" in output


@pytest.mark.parametrize(
    "option, message",
    [
        ("model_config.clipbert.fold=median", "model_config.clipbert.fold is 'median'; allowed are ['lse', 'max', 'mean', 'sum']"),
        ("dataset_config.msrvtt_retrieval.media.test=nowhere", "dataset_config.msrvtt_retrieval.media.test is 'nowhere'"),
    ],
)
def test_a_wrong_configuration_ends_the_run_at_its_start(corpus, tmp_path, option, message):
    assert message in run_mmf(demo_options(corpus, "msrvtt_retrieval", tmp_path, "run_type=train", option), fails=True)
