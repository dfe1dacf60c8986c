"""A dataset's section becomes a dataclass, or an error that names its key in full."""

import pytest

from clipbert_mmf.annotations.sources import AnnotationSource
from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.paths import config_dir
from clipbert_mmf.tasks.dataset_config import parse_dataset_config
from clipbert_mmf.tasks.datasets import SPECS

SPLITS = ("train", "val", "test")


def parse(name="msrvtt_qa", **changes):
    section = {
        "data_dir": "/data",
        "annotations": {split: [f"{split}.json"] for split in SPLITS},
        "media": dict.fromkeys(SPLITS, "videos"),
        **changes,
    }
    return parse_dataset_config(section, SPECS[name])


def test_sources_and_answers_are_dataclasses_and_absent_keys_keep_their_defaults():
    config, task, section = parse(answers="own.json", media={**dict.fromkeys(SPLITS, "a"), "val": ["b", "c"]})
    assert config.annotations["val"] == (AnnotationSource("val.json"),)
    assert config.answers.file == "own.json" and config.media["val"] == ("b", "c")
    assert (config.max_failure_share, config.strict, config.layout) == (0.05, False, "clipbert")
    assert task.name == "open_ended" and section["data_dir"] == "/data"


def test_mmfs_layout_reads_one_text_at_a_time():
    _, _, section = parse(layout="mmf", texts_per_item={"train": 4, "eval": 8})
    assert section["texts_per_item"] == {"train": 1, "eval": 1}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"strikt": True}, r"^dataset_config\.msrvtt_qa\.strikt is unknown \(did you mean 'strict'\?\)"),
        ({"task": "retrieval"}, r"^dataset_config\.msrvtt_qa\.task is 'retrieval'; allowed are open_ended"),
        ({"layout": "grid"}, r"^dataset_config\.msrvtt_qa\.layout is 'grid'; allowed are clipbert, mmf"),
        ({"max_failure_share": 5}, r"max_failure_share is 5\.0; expected at least 0 and at most 1"),
        ({"media": {"train": "a", "val": "a"}}, r"msrvtt_qa\.media has no 'test'; MMF always builds"),
        (
            {"annotations": {"train": [{"fil": "a"}], "val": "a", "test": "a"}},
            r"annotations\.train\[0\]\.fil is unk",
        ),
        ({"answers": {"min_count": 0}}, r"msrvtt_qa\.answers\.min_count is 0; expected at least 1"),
        ({"data_dir": None}, r"lacks data_dir; set dataset_config\.msrvtt_qa\.data_dir"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        parse(**changes)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_packaged_section_of_every_dataset_parses(name):
    section = read_yaml(config_dir() / "datasets" / name / "defaults.yaml")["dataset_config"][name]
    if name == "video_text_csv":  # its sources refer to other keys, which OmegaConf resolves
        section["annotations"] = dict.fromkeys(SPLITS, "annotations.csv")
    assert set(parse_dataset_config(section, SPECS[name])[0].annotations) == set(SPLITS)
