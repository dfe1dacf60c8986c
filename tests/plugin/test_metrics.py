"""Registered metrics: their keys, the fields they require, and the names that MMF gives their numbers."""

import pytest
import torch
from mmf.common.registry import registry
from mmf.common.report import Report
from mmf.modules.metrics import Metrics

import clipbert_mmf.plugin.metrics  # noqa: F401  registers
from clipbert_mmf.scoring.metrics import METRICS


def make_report(**fields) -> Report:
    """Return the report of a pair of videos with two texts each."""
    report = Report(
        [
            ("scores", torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])),
            ("targets", torch.tensor([[1, 0], [0, 1]])),
            ("item_index", torch.arange(2)),
            ("readable", torch.ones(2)),
            ("dataset_type", "val"),
            ("dataset_name", "some_dataset"),
        ]
    )
    report.update(fields)
    return report


def test_mmf_names_every_number_by_split_dataset_metric_and_name():
    report = make_report()
    values = Metrics(["clipbert_retrieval", "clipbert_answers"])(report, report)
    assert values["val/some_dataset/clipbert_retrieval/t2v_r1"] == pytest.approx(1 / 2)  # a tie is a miss
    assert values["val/some_dataset/clipbert_answers/accuracy"] == pytest.approx(3 / 4)
    assert all(value.shape == (1,) and value.dtype == torch.float32 for value in values.values())
    assert {name.rsplit("/", 1)[0] for name in values} == {
        "val/some_dataset/clipbert_retrieval",
        "val/some_dataset/clipbert_answers",
    }


def test_fields_that_a_training_batch_has_not_are_not_needed():
    report = make_report(mlm_right=torch.ones(4), mlm_total=torch.ones(4))
    for key in ("clipbert_retrieval", "clipbert_answers", "clipbert_pretraining"):
        assert all(
            float(value) >= 0 for value in registry.get_metric_class(key)().calculate(report, report).values()
        )


def test_five_keys_are_registered_and_require_lists_of_fields():
    keys = [name for name in registry.mapping["metric_name_mapping"] if name.startswith("clipbert_")]
    assert sorted(keys) == sorted(METRICS) and len(keys) == 5
    for key in keys:
        required = registry.get_metric_class(key)().required_params
        assert isinstance(required, list) and {"scores", "targets", "item_index", "readable"} <= set(required)
        # MMF's release asks for every required field of every batch.
        assert not {"similarity", "chosen_for_texts", "chosen_for_videos"} & set(required)


def test_a_metric_for_some_datasets_is_not_computed_for_others():
    from omegaconf import OmegaConf

    metrics = Metrics(OmegaConf.create([{"type": "clipbert_retrieval", "datasets": ["another"]}]))
    report = make_report()
    assert metrics(report, report) == {}
