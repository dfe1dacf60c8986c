"""Registered metrics: what each reads, in one process and in two, with repeated, filling and unreadable items."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmf.common.registry import registry

from clipbert_mmf.plugin import metrics
from clipbert_mmf.shapes import ANSWER_TYPES

ROOT = Path(__file__).resolve().parent.parent


def value_of(name: str, report: dict) -> float:
    """The number a registered metric gives for a report."""
    return float(registry.get_metric_class(name)().calculate(report, report))


def retrieval_report() -> dict:
    """Three videos in shuffled order, the last one twice as a distributed sampler may; video 2 could not be read."""
    margins = torch.tensor([[0.0, 3.0, 1.0], [2.0, 1.0, 0.0], [9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    index = torch.tensor([1, 0, 2, 2])
    return {
        "scores": torch.stack([torch.zeros(12), margins.flatten()], 1),
        "targets": torch.eye(3, dtype=torch.int64)[index],
        "item_index": index,
        "readable": torch.tensor([1, 1, 0, 0]),
    }


def test_retrieval_counts_repeated_videos_once_and_unreadable_ones_as_misses():
    report = retrieval_report()
    assert value_of("clipbert_num_items", report) == 3
    assert value_of("clipbert_num_unreadable", report) == 1
    assert value_of("clipbert_t2v_r1", report) == pytest.approx(2 / 3)
    assert value_of("clipbert_t2v_mean_rank", report) == pytest.approx((1 + 1 + 3) / 3)
    assert value_of("clipbert_v2t_r5", report) == 1.0
    assert value_of("clipbert_v2t_median_rank", report) == 1
    assert value_of("clipbert_t2v_num_ties", report) == 0


def test_the_numbers_of_a_family_are_computed_once(monkeypatch):
    calls = []
    summarize = metrics.RetrievalMetric.summarize
    monkeypatch.setattr(
        metrics.RetrievalMetric,
        "summarize",
        classmethod(lambda cls, *fields: calls.append(1) or summarize(*fields)),
    )
    report = retrieval_report()
    first = value_of("clipbert_t2v_r1", report)
    value_of("clipbert_v2t_r10", report)
    assert len(calls) == 1
    report["scores"].neg_()
    assert value_of("clipbert_t2v_r1", report) != first
    assert len(calls) == 2


def test_filling_texts_and_unreadable_items_are_not_right():
    report = {
        "scores": torch.tensor([[0.0, 1.0], [0.0, 1.0], [2.0, 1.0], [0.0, 1.0]]),
        "targets": torch.tensor([[1, 1], [0, 1]]),
        "item_index": torch.tensor([0, 1]),
        "readable": torch.tensor([1, 0]),
        "text_index": torch.tensor([[0, -1], [1, 2]]),
    }
    assert value_of("clipbert_accuracy", report) == pytest.approx(1 / 3)
    assert value_of("clipbert_pair_num_texts", report) == 3
    assert value_of("clipbert_pair_num_unreadable", report) == 1
    del report["text_index"]
    assert value_of("clipbert_accuracy", report) == pytest.approx(2 / 4)


def test_multiple_choice_is_right_or_wrong_per_question():
    report = {
        "scores": torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]),
        "targets": torch.tensor([1, 2, 2]),
        "item_index": torch.tensor([4, 7, 7]),
        "readable": torch.ones(3),
    }
    assert value_of("clipbert_accuracy", report) == pytest.approx(1 / 2)


def test_vqa_gives_the_score_of_the_chosen_answer():
    report = {
        "scores": torch.eye(3)[torch.tensor([0, 2])],
        "targets": torch.tensor([[[0.9, 0.3, 0.0]], [[1.0, 0.0, 0.6]]]),
        "item_index": torch.tensor([0, 1]),
        "readable": torch.ones(2),
    }
    assert value_of("clipbert_vqa_accuracy", report) == pytest.approx((0.9 + 0.6) / 2)


def test_counts_are_rounded_and_kept_in_range():
    report = {
        "scores": torch.tensor([[2.6], [14.0], [3.0]]),
        "targets": torch.tensor([[3], [10], [4]]),
        "item_index": torch.arange(3),
        "readable": torch.tensor([1, 1, 0]),
    }
    assert value_of("clipbert_count_accuracy", report) == pytest.approx(2 / 3)
    assert value_of("clipbert_count_mse", report) == pytest.approx((0 + 0 + 6**2) / 3)


def test_hidden_words_of_filling_texts_do_not_count():
    report = {
        "mlm_right": torch.tensor([1, 2, 0, 1]),
        "mlm_total": torch.tensor([2, 2, 1, 1]),
        "item_index": torch.tensor([5, 6]),
        "text_index": torch.tensor([[0, 1], [2, -1]]),
    }
    assert value_of("clipbert_mlm_accuracy", report) == pytest.approx(3 / 5)


def test_a_training_batch_gives_numbers_too():
    report = {
        "scores": torch.randn(6, 2),
        "targets": torch.tensor([[1, 0], [1, 0], [1, 0]]),
        "item_index": torch.arange(3),
        "readable": torch.ones(3),
    }
    for name in ("clipbert_t2v_r1", "clipbert_v2t_mean_rank", "clipbert_accuracy", "clipbert_num_items"):
        assert value_of(name, report) >= 0


def test_required_fields_are_lists_and_every_key_is_registered():
    names = [name for name in registry.mapping["metric_name_mapping"] if name.startswith("clipbert_")]
    assert len(names) == 23 + 1 + 4 * len(ANSWER_TYPES)
    for name in names:
        assert "train" not in name and "val" not in name
        assert "item_index" in registry.get_metric_class(name)().required_params


def test_rows_of_uneven_ranks_are_gathered_in_order(tmp_path):
    code = (
        "import sys, torch\n"
        "from clipbert_mmf.scoring.gathering import first_of_each, gather_rows\n"
        "rank = int(sys.argv[1])\n"
        "torch.distributed.init_process_group('gloo', init_method='file://' + sys.argv[2], rank=rank, world_size=2)\n"
        "rows = torch.arange(3 - rank)[:, None] + 10 * rank\n"
        "print(gather_rows(rows).flatten().tolist(), first_of_each(gather_rows(rows[:, 0] % 10)).tolist())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPBERT_MMF_HOST": "0"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(tmp_path / "meet")],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0].strip() for process in ranks]
    assert outputs == ["[0, 1, 2, 10, 11] [0, 1, 2]"] * 2
