"""The numbers of each family of tasks: repeated, filling and unreadable items, and types of answers."""

import pytest
import torch

from clipbert_mmf.scoring.metrics import (
    METRICS,
    measure_answers,
    measure_counts,
    measure_pretraining,
    measure_retrieval,
    measure_soft_answers,
    split_metric_name,
)
from clipbert_mmf.shapes import ANSWER_TYPES


def retrieval_report() -> dict:
    """Return three videos in shuffled order, the last one twice as a sampler may repeat it.

    Video 2 is unreadable.
    """
    margins = torch.tensor([[0.0, 3.0, 1.0], [2.0, 1.0, 0.0], [9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    index = torch.tensor([1, 0, 2, 2])
    return {
        "scores": torch.stack([torch.zeros(12), margins.flatten()], 1),
        "targets": torch.eye(3, dtype=torch.int64)[index],
        "item_index": index,
        "readable": torch.tensor([1, 1, 0, 0]),
    }


def test_retrieval_counts_repeated_videos_once_and_unreadable_ones_as_misses():
    numbers = measure_retrieval(**retrieval_report())
    assert numbers["num_items"] == 3 and numbers["num_unreadable"] == 1
    assert numbers["t2v_r1"] == pytest.approx(2 / 3)
    assert numbers["t2v_mean_rank"] == pytest.approx((1 + 1 + 3) / 3)
    assert numbers["v2t_r5"] == 1.0 and numbers["v2t_median_rank"] == 1 and numbers["t2v_num_ties"] == 0
    assert len(numbers) == 2 * 6 + 2


def test_two_stages_rank_pairs_that_were_not_chosen_by_their_similarity():
    report = retrieval_report()
    everything = torch.ones(4, 3, dtype=torch.bool)
    similarity = torch.zeros(4, 3)
    exact = measure_retrieval(**report)
    chosen = {"similarity": similarity, "chosen_for_texts": everything, "chosen_for_videos": everything}
    assert measure_retrieval(**report, **chosen) == exact
    nothing = {**chosen, "chosen_for_texts": ~everything, "similarity": -report["targets"].float()}
    assert measure_retrieval(**report, **nothing)["t2v_r1"] == 0


def test_filling_texts_and_unreadable_items_are_not_right():
    report = {
        "scores": torch.tensor([[0.0, 1.0], [0.0, 1.0], [2.0, 1.0], [0.0, 1.0]]),
        "targets": torch.tensor([[1, 1], [-1, 1]]),
        "item_index": torch.tensor([0, 1]),
        "readable": torch.tensor([1, 0]),
    }
    numbers = measure_answers(**report, text_index=torch.tensor([[0, -1], [1, 2]]))
    assert numbers == {
        "accuracy": pytest.approx(1 / 3),
        "num_unknown": 1,
        "num_texts": 3,
        "num_items": 2,
        "num_unreadable": 1,
    }
    assert measure_answers(**report)["accuracy"] == pytest.approx(2 / 4)


def test_only_types_of_answers_that_occur_have_numbers():
    numbers = measure_answers(
        scores=torch.eye(3),
        targets=torch.tensor([[0], [1], [0]]),
        item_index=torch.arange(3),
        readable=torch.ones(3),
        text_index=torch.arange(3)[:, None],
        answer_type=torch.tensor([[ANSWER_TYPES.index("yes/no")], [-1], [ANSWER_TYPES.index("yes/no")]]),
    )
    assert numbers["accuracy_yes_no"] == 0.5 and numbers["num_texts_yes_no"] == 2
    assert not any(name.endswith(("what", "number")) for name in numbers)


def test_multiple_choice_is_right_or_wrong_per_question():
    numbers = measure_answers(
        scores=torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]),
        targets=torch.tensor([1, 2, 2]),
        item_index=torch.tensor([4, 7, 7]),
        readable=torch.ones(3),
        text_index=torch.tensor([4, 7, 7]),
        answer_type=torch.tensor([-1, -1, -1]),
    )
    assert numbers["accuracy"] == pytest.approx(1 / 2) and numbers["num_texts"] == 2


def test_vqa_gives_the_score_of_the_chosen_answer_and_counts_unknown_ones():
    report = {
        "scores": torch.eye(3)[torch.tensor([0, 2, 1])],
        "targets": torch.tensor([[[0.9, 0.3, 0.0]], [[1.0, 0.0, 0.6]], [[0.0, 0.0, 0.0]]]),
        "item_index": torch.tensor([0, 1, 2]),
        "readable": torch.ones(3),
    }
    numbers = measure_soft_answers(**report)
    assert numbers["accuracy"] == pytest.approx((0.9 + 0.6) / 3) and numbers["num_unknown"] == 1
    assert measure_soft_answers(**{**report, "targets": report["targets"][:, 0]}) == numbers


def test_counts_are_rounded_and_kept_in_range():
    numbers = measure_counts(
        scores=torch.tensor([[2.6], [14.0], [3.0]]),
        targets=torch.tensor([[3], [10], [4]]),
        item_index=torch.arange(3),
        readable=torch.tensor([1, 1, 0]),
    )
    assert numbers["accuracy"] == pytest.approx(2 / 3)
    assert numbers["mse"] == pytest.approx((0 + 0 + 6**2) / 3)


def test_hidden_tokens_of_filling_texts_do_not_count():
    numbers = measure_pretraining(
        scores=torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        targets=torch.tensor([[1, 0], [0, 0]]),
        item_index=torch.tensor([5, 6]),
        readable=torch.ones(2),
        mlm_right=torch.tensor([1, 2, 0, 1]),
        mlm_total=torch.tensor([2, 2, 1, 1]),
        text_index=torch.tensor([[0, 1], [2, -1]]),
    )
    assert numbers["mlm_accuracy"] == pytest.approx(3 / 5) and numbers["itm_accuracy"] == pytest.approx(2 / 3)
    assert numbers["num_texts"] == 3


@pytest.mark.parametrize(
    "name, parts",
    [
        ("val/msrvtt_qa/clipbert_answers/accuracy", ("val", "msrvtt_qa", "clipbert_answers/accuracy")),
        ("test/hateful_memes/roc_auc", ("test", "hateful_memes", "roc_auc")),
        ("train/total_loss", ("", "", "train/total_loss")),
    ],
)
def test_a_full_name_is_split_and_dataset_and_the_rest(name, parts):
    assert split_metric_name(name) == parts


def test_every_metric_lists_the_names_of_its_numbers():
    rows = {"item_index": torch.arange(4), "readable": torch.ones(4)}
    pairs = {"targets": torch.zeros(4, 3, dtype=torch.int64), **rows}
    hidden = torch.ones(12, dtype=torch.int64)
    fields = {
        "clipbert_retrieval": {
            "scores": torch.zeros(16, 2),
            "targets": torch.eye(4, dtype=torch.int64),
            **rows,
        },
        "clipbert_answers": {"scores": torch.zeros(12, 5), **pairs},
        "clipbert_vqa": {"scores": torch.zeros(12, 5), **pairs, "targets": torch.ones(4, 3, 5)},
        "clipbert_count": {"scores": torch.zeros(12, 1), **pairs},
        "clipbert_pretraining": {
            "scores": torch.zeros(12, 2),
            **pairs,
            "mlm_right": hidden,
            "mlm_total": hidden,
        },
    }
    for name, metric in METRICS.items():
        assert set(metric.measure(**fields[name])) == set(metric.numbers)
    assert "accuracy_what" in METRICS["clipbert_vqa"].list_numbers()
