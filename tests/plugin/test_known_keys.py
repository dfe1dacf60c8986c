"""The keys of MMF's sections that something reads, in either MMF."""

import mmf  # noqa: F401
import pytest

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.known_keys import (
    CHECKED_SECTIONS,
    find_known_keys,
    find_section,
    is_open_section,
    refuse_unknown_sections,
)


def test_keys_of_ours_and_of_both_mmfs_are_known():
    assert {"precision", "early_stop", "num_workers", "callbacks", "stdout_capture"} <= find_known_keys(
        "training"
    )
    assert {"training", "multitasking", "run_type", "dataset_config"} <= find_known_keys("")
    assert {"timeout_sec", "backend"} <= find_known_keys("distributed")
    assert {"training", "training.early_stop", "checkpoint.reset", "env", "optimizer", "scheduler"} <= set(
        CHECKED_SECTIONS
    )


def test_sections_that_others_check_are_open():
    assert is_open_section("model_config.clipbert.heads") and is_open_section("dataset_config.msrvtt_qa")
    assert is_open_section("optimizer.params")
    for where in ("", "training", "model_config", "model_config.visual_bert", "dataset_config.vqa2"):
        assert not is_open_section(where)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"optimiser": {}}, r"^optimiser is unknown \(did you mean 'optimizer'\?\)"),
        ({"env": {"savedir": 1}}, r"env.savedir is unknown \(did you mean 'save_dir'\?\)"),
        ({"optimizer": {"parms": {}}}, r"optimizer.parms is unknown \(did you mean 'params'\?\)"),
        (
            {"checkpoint": {"reset": {"count": True}}},
            r"checkpoint.reset.count is unknown \(did you mean 'counts'",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(config, message):
    with pytest.raises(ConfigurationError, match=message):
        refuse_unknown_sections(config)


def test_a_section_that_is_not_there_is_empty():
    assert find_section({"a": {"b": None}}, "a.b.c") == {} and find_section({"a": 1}, "a") == {}
