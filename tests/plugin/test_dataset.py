"""The dataset that MMF gets, built from its configuration on real encoded files."""

import shutil

import mmf  # noqa: F401
import pytest
import torch
from mmf.common.registry import registry
from mmf.common.sample import SampleList
from mmf.utils.configuration import load_yaml
from omegaconf import OmegaConf

from clipbert_mmf.paths import project_dir
from clipbert_mmf.plugin.dataset import UnreadableMediaError
from clipbert_mmf.tasks import dataset_files
from clipbert_mmf.video.failures import TooManyFailuresError

DEMOS = {"msrvtt_retrieval": "msrvtt", "msrvtt_qa": "msrvtt", "coco_captions_pretraining": "coco"}


def build(corpus, save_dir, split="train", name="msrvtt_retrieval", **changes):
    """Return a split as MMF builds it."""
    for attribute in ("text_processor", "train_media_processor", "eval_media_processor"):
        registry.unregister(f"{name}_{attribute}")
    builder = registry.get_builder_class(name)()
    demo = load_yaml(str(project_dir() / "clipbert" / "configs" / name / "demo.yaml"))
    section = OmegaConf.merge(
        load_yaml(builder.config_path()).dataset_config[name],
        demo.dataset_config[name],
        {
            "data_dir": str(corpus / DEMOS[name]),
            "processors": {"text_processor": {"params": {"tokenizer": str(corpus / "tokenizer")}}},
        },
        changes,
    )
    run = OmegaConf.create({"training": {"seed": 3}, "env": {"save_dir": str(save_dir)}})
    if registry.get("config", None, no_warning=True) != run:  # the splits of one run share what they read
        registry.register("config", run)
    registry.register("current_device", torch.device("cpu"))
    return builder.load(section, split)


@pytest.fixture()
def broken(corpus, tmp_path):
    """A copy whose first two training videos and first test video are empty files."""
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    for path in (copy / "msrvtt" / "videos").iterdir():
        if path.stem in ("video0", "video1", "video20"):
            path.write_bytes(b"")
    return copy


def same(first, second):
    return all(
        torch.equal(first[name], second[name]) for name in first if isinstance(first[name], torch.Tensor)
    )


def test_a_training_sample_has_the_one_batch_shape(corpus, tmp_path):
    dataset = build(corpus, tmp_path)
    sample = dataset[0]
    assert sample.frames.shape == (4, 1, 3, 64, 64) and sample.frames.dtype == torch.uint8
    assert sample.input_ids.shape == sample.input_mask.shape == sample.segment_ids.shape == (4, 28)
    assert sample.targets.tolist() == [1, 0, 0, 0]
    assert sample.readable == 1 and sample.num_replaced == 0
    batch = SampleList([dataset[0], dataset[1]])
    assert batch.frames.shape == (2, 4, 1, 3, 64, 64) and batch.item_index.tolist() == [0, 1]


def test_pretraining_samples_have_masked_texts_of_one_image(corpus, tmp_path):
    sample = build(corpus, tmp_path, name="coco_captions_pretraining")[0]
    assert sample.frames.shape == (1, 1, 3, 64, 64)
    assert sample.lm_label_ids.shape == sample.input_ids.shape == (2, 28)


def test_the_same_seed_epoch_and_item_give_the_same_sample(corpus, tmp_path):
    first, second = build(corpus, tmp_path), build(corpus, tmp_path)
    assert same(first[5], second[5])
    second.set_epoch(2)
    assert not same(first[5], second[5])
    first.set_epoch(2)
    assert same(first[5], second[5])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_give_what_one_process_gives_and_see_new_epochs(corpus, tmp_path, method):
    dataset = build(corpus, tmp_path, "train" if method == "fork" else "val")
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=4,
        num_workers=2,
        collate_fn=SampleList,
        multiprocessing_context=method,
        persistent_workers=True,
    )
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        for number, batch in zip(range(3), loader, strict=False):
            expected = SampleList(
                [dataset[item] for item in range(4 * number, 4 * number + len(batch.item_index))]
            )
            assert same(batch, expected)


def test_training_replaces_a_broken_video_and_counts_it(broken, tmp_path):
    dataset = build(broken, tmp_path / "run", max_failure_share=0.5)
    replaced = 0
    for item in range(len(dataset)):
        sample = dataset[item]
        replaced += int(sample.num_replaced)
        assert dataset.maker.media_key(int(sample.item_index)) not in ("video0", "video1")
        assert sample.frames.any()
    assert replaced >= 8 and dataset.failures.num_broken == 2
    later = build(broken, tmp_path / "run", max_failure_share=0.5)
    assert later.failures.num_broken == 2 and same(later[0], dataset[0])


def test_training_stops_above_the_share(broken, tmp_path):
    dataset = build(broken, tmp_path, max_failure_share=0.05)
    with pytest.raises(TooManyFailuresError, match="2 of 20 media cannot be read"):
        for item in range(len(dataset)):
            dataset[item]


def test_evaluation_keeps_a_broken_video_as_unreadable(broken, tmp_path):
    dataset = build(broken, tmp_path, "test")
    samples = [dataset[item] for item in range(len(dataset))]
    assert [int(sample.readable) for sample in samples].count(0) == 1
    unreadable = next(sample for sample in samples if not sample.readable)
    assert dataset.maker.media_key(int(unreadable.item_index)) == "video20" and not unreadable.frames.any()
    assert unreadable.targets.sum() == 1


def test_strict_evaluation_raises_with_key_and_reason(broken, tmp_path):
    dataset = build(broken, tmp_path, "test", strict=True)
    with pytest.raises(UnreadableMediaError, match="strict: .*video20"):
        [dataset[item] for item in range(len(dataset))]


def test_local_validation_pairs_are_of_videos_the_test_leaves_unused(corpus, tmp_path):
    val, test = build(corpus, tmp_path, "val"), build(corpus, tmp_path, "test")
    keys = [{split.maker.media_key(item) for item in range(len(split))} for split in (val, test)]
    assert len(keys[0]) == len(keys[1]) == 7 and not keys[0] & keys[1]


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            {"data_dir": "/nowhere"},
            FileNotFoundError,
            "msrvtt_retrieval.data_dir is '/nowhere': no such directory",
        ),
        ({"negatives": 3}, ValueError, "msrvtt_retrieval.negatives is unknown; allowed are"),
        ({"media": {"train": "../coco/images"}}, FileNotFoundError, "none of the annotated videos is there"),
        (
            {"annotations": {"train": [{"file": "x.json"}]}},
            FileNotFoundError,
            r"annotations.train\[0\].file is 'x.json'",
        ),
        ({"max_failure_share": 5}, ValueError, "max_failure_share is 5.0"),
        (
            {"processors": {"train_media_processor": {"params": {"sampling": "dice"}}}},
            ValueError,
            "sampling is 'dice'",
        ),
        (
            {"processors": {"train_media_processor": {"params": {"num_clips": 0}}}},
            ValueError,
            "num_clips is 0",
        ),
    ],
)
def test_a_wrong_configuration_is_an_error_at_start(corpus, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        build(corpus, tmp_path, **changes)


def test_missing_media_are_named_at_start_and_their_rows_may_be_left_out(corpus, tmp_path, caplog):
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    for name in ("video0", "video1"):
        (copy / "msrvtt" / "videos" / f"{name}.mp4").unlink()
    with pytest.raises(
        TooManyFailuresError, match=r"2 of them not in .*: video0, video1; all are in .*missing_msrvtt"
    ):
        build(copy, tmp_path / "run", max_failure_share=0.01)
    listing = tmp_path / "run" / "missing_msrvtt_retrieval_train.txt"
    assert listing.read_text() == "video0\nvideo1\n"
    whole = build(copy, tmp_path / "run", max_failure_share=0.9)
    dropped = build(copy, tmp_path / "run", max_failure_share=0.01, drop_missing=True)
    assert whole.maker.num_media - dropped.maker.num_media == 2
    assert "video0" not in {dropped.maker.media_key(item) for item in range(len(dropped))}


def test_the_training_split_is_read_once_for_all_splits_and_its_answers(corpus, tmp_path, monkeypatch):
    read = []
    plain = dataset_files.load_sources
    monkeypatch.setattr(
        dataset_files, "load_sources", lambda *a, **k: read.append(k["where"]) or plain(*a, **k)
    )
    answers = [
        build(corpus, tmp_path, split, "msrvtt_qa").maker.answers for split in ("train", "val", "test")
    ]
    assert answers[0] == answers[1] == answers[2] and len(answers[0]) > 3
    assert [where.rpartition(".")[2] for where in read] == ["train", "val", "test"]


def test_answers_may_be_named_as_a_plain_file_and_other_keys_are_refused(corpus, tmp_path):
    (tmp_path / "own.json").write_text('{"red": 0, "blue": 1}')
    assert (
        build(corpus, tmp_path, "test", "msrvtt_qa", answers=str(tmp_path / "own.json")).maker.answers["blue"]
        == 1
    )
    with pytest.raises(ValueError, match=r"msrvtt_qa\.answers\.size is unknown; allowed are file, min_count"):
        build(corpus, tmp_path, "test", "msrvtt_qa", answers={"size": 3})
