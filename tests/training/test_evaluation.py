"""Evaluation reads every item once, in order; metrics are told that they have them all."""

import pytest
import torch

from clipbert_mmf.scoring import gathering
from clipbert_mmf.training.evaluation import merge_fields, merge_lists
from tests.toy_runs import read_records
from tests.training.plain_host import NUM_ITEMS, Parts


def test_metrics_get_all_items_in_order_and_do_not_gather_again(tmp_path):
    parts = Parts(tmp_path)
    evaluation = parts.evaluator.evaluate("val")
    assert parts.host.measured == [(True, list(range(NUM_ITEMS["val"])))]
    assert gathering._rows_are_gathered.get() is False and parts.run.model.training
    assert set(evaluation.numbers) == {"val/points/ce", "val/total_loss", "val/points/accuracy"}
    assert evaluation.losses["val/total_loss"] == pytest.approx(evaluation.losses["val/points/ce"])


def test_losses_are_means_over_items_whatever_the_batches(tmp_path):
    parts = Parts(tmp_path)
    parts.run.model.eval()
    whole = [parts.host.list_loaders("val")["points"].dataset[item] for item in range(NUM_ITEMS["val"])]
    batch = {key: torch.stack([item[key] for item in whole]) for key in whole[0]}
    expected = parts.run.model({**batch, "split": "val"})["losses"]["val/points/ce"]
    assert parts.evaluator.evaluate("val").losses["val/points/ce"] == pytest.approx(float(expected), rel=1e-6)


def test_a_final_evaluation_is_marked_as_such(tmp_path):
    parts = Parts(tmp_path, run_type="val_test")
    parts.evaluator.run_final()
    records = read_records(tmp_path)
    assert [(record["split"], record["final"]) for record in records] == [("val", True), ("test", True)]
    assert parts.host.hooks == ["on_test_start", "on_test_end"] * 2


def test_predictions_come_one_per_item_in_order(tmp_path):
    parts = Parts(tmp_path, run_type="test", predict=True)
    parts.evaluator.run_final()
    assert parts.host.predictions == {"points": [{"item": item} for item in range(NUM_ITEMS["test"])]}


def test_fields_of_several_processes_are_put_in_the_order_of_items():
    parts = [
        ([0, 2, 4], {"scores": torch.tensor([0.0, 0.5, 2.0, 2.5, 4.0, 4.5]), "names": ["a", "c", "e"]}),
        ([1, 3], {"scores": torch.tensor([1.0, 1.5, 3.0, 3.5]), "names": ["b", "d"]}),
        ([], {}),
    ]
    merged = merge_fields(parts)
    assert merged["scores"].tolist() == [number / 2 for number in range(10)]
    assert merged["names"] == ["a", "b", "c", "d", "e"]


def test_results_that_are_not_one_per_item_are_ordered_by_the_item_they_tell():
    held = [([0, 2], [{"item": 2}, {"item": 0}, {"item": 2}]), ([1], [{"item": 1}])]
    assert [result["item"] for result in merge_lists(held)] == [0, 1, 2, 2]
    assert merge_lists([([0], ["x", "y"]), ([1], ["z"])]) == ["x", "y", "z"]
