"""One builder class serves every row of the table of datasets, and MMF knows it by the row's name."""

from pathlib import Path

import mmf  # noqa: F401  (registers clipbert_mmf)
import pytest
from mmf.common.registry import registry
from omegaconf import OmegaConf

from clipbert_mmf.plugin.builder import ClipBertBuilder, register_builder, uses_split
from clipbert_mmf.tasks.datasets import REGISTRATION_LISTENERS, SPECS


def test_the_plugin_listens_to_new_rows():
    assert register_builder in REGISTRATION_LISTENERS


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_row_has_a_builder_with_a_configuration(name):
    builder = registry.get_builder_class(name)
    assert issubclass(builder, ClipBertBuilder) and builder.spec is SPECS[name]
    assert Path(builder.config_path()).is_file()


@pytest.mark.parametrize(
    "trainer, run_type, used",
    [
        ("clipbert", "train", ["train"]),
        ("clipbert", "train_val_test", ["train", "val", "test"]),
        ("base_trainer", "train", ["train", "val"]),
        ("mmf", "train_test", ["train", "val", "test"]),
        ("mmf", "test", ["test"]),
    ],
)
def test_the_splits_that_a_run_needs_follow_from_its_type_and_trainer(trainer, run_type, used):
    run = OmegaConf.create({"run_type": run_type, "training": {"trainer": trainer}})
    assert [split for split in ("train", "val", "test") if uses_split(run, split)] == used
