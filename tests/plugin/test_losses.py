"""Registered losses: what each reads from the batch and the output, and that gradients flow."""

import math

import pytest
import torch
from mmf.common.registry import registry
from mmf.common.sample import SampleList

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.losses import LOSSES, JointLosses


def batch(**fields) -> SampleList:
    samples = SampleList()
    for name, value in fields.items():
        samples[name] = value
    return samples


CASES = {
    "clipbert_match": ((4, 2), torch.tensor([[1, 0], [1, 0]])),
    "clipbert_itm": ((4, 2), torch.tensor([[1, 0], [0, 0]])),
    "clipbert_rank": ((4, 2), torch.tensor([[1, 0], [0, 1]])),
    "clipbert_answer_ce": ((4, 3), torch.tensor([[2, -1], [0, 1]])),
    "clipbert_choice_ce": ((2, 5), torch.tensor([4, 0])),
    "clipbert_soft_bce": ((4, 3), torch.full((2, 2, 3), 0.3)),
    "clipbert_count_loss": ((2, 1), torch.tensor([[3.0], [5.0]])),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_loss_is_one_number_with_a_gradient(name):
    shape, targets = CASES[name]
    scores = torch.randn(shape, requires_grad=True)
    loss = registry.get_loss_class(name)()(batch(targets=targets), {"scores": scores})
    assert loss.dim() == 0 and torch.isfinite(loss)
    loss.backward()
    assert scores.grad.abs().sum() > 0


def test_hidden_words_come_from_the_output_alone():
    words = torch.zeros(3, 8, requires_grad=True)
    loss = registry.get_loss_class("clipbert_mlm")()(
        batch(targets=torch.tensor([[1]])), {"mlm_scores": words, "mlm_targets": torch.tensor([1, 2, 3])}
    )
    torch.testing.assert_close(loss, torch.tensor(8.0).log())


def test_hidden_words_are_averaged_over_all_positions_as_released():
    words = torch.randn(3, 8)
    targets = torch.tensor([1, 2, 3])
    samples = batch(targets=torch.tensor([[1], [1]]))
    # Three hidden words of two texts, padded to five positions.
    samples["lm_label_ids"] = torch.full((2, 1, 5), -100)
    samples["lm_label_ids"][0, 0, 1:3], samples["lm_label_ids"][1, 0, 1] = targets[:2], targets[2]
    make = registry.get_loss_class("clipbert_mlm")
    output = {"mlm_scores": words, "mlm_targets": targets}
    logits = torch.zeros(2, 1, 5, 8)
    logits[0, 0, 1:3], logits[1, 0, 1] = words[:2], words[2]
    released = torch.nn.functional.cross_entropy(
        logits.view(-1, 8), samples["lm_label_ids"].view(-1), reduction="none"
    ).mean()
    torch.testing.assert_close(make(average="positions")(samples, output), released)
    torch.testing.assert_close(make()(samples, output), released * 10 / 3)
    with pytest.raises(
        ConfigurationError, match="params.average of clipbert_mlm is 'all'; allowed are hidden"
    ):
        make(average="all")


def test_half_precision_scores_are_lost_in_full_precision():
    scores = torch.randn(4, 2).bfloat16()
    loss = registry.get_loss_class("clipbert_match")()(
        batch(targets=torch.tensor([[1, 0], [1, 0]])), {"scores": scores}
    )
    assert loss.dtype == torch.float32


def test_a_weight_scales_a_loss_and_datasets_are_a_list():
    scores, right = torch.randn(4, 2), batch(targets=torch.tensor([[1, 0], [1, 0]]))
    make = registry.get_loss_class("clipbert_match")
    torch.testing.assert_close(
        make(weight=0.5)(right, {"scores": scores}) * 2, make()(right, {"scores": scores})
    )
    assert make().datasets is None and type(make(datasets=("quiz",)).datasets) is list


def test_the_contrastive_loss_joins_those_of_the_configuration_where_there_are_embeddings():
    samples = batch(
        targets=torch.eye(2, dtype=torch.int64),
        input_ids=torch.arange(8).view(2, 2, 2),
        item_index=torch.arange(2),
        media_index=torch.arange(2),
        dataset_type="train",
        dataset_name="quiz",
    )
    losses = JointLosses(
        lambda sample_list, model_output: {"train/quiz/clipbert_match": torch.ones(1)}, weight=0.5
    )
    assert set(losses(samples, {})) == {"train/quiz/clipbert_match"}
    output = {
        "text_embeddings": torch.eye(2)[:, None].expand(2, 2, 2).clone().requires_grad_(),
        "video_embeddings": torch.eye(2).requires_grad_(),
        "contrastive_scale": torch.tensor([1.0]),
    }
    found = losses(samples, output)["train/quiz/clipbert_contrastive"]
    assert found.shape == (1,) and found.item() == pytest.approx(0.5 * math.log(1 + math.exp(-1)))
    found.backward()
    assert output["video_embeddings"].grad.abs().sum() > 0


def test_every_loss_of_the_table_is_registered_and_none_is_named_as_mmfs_compound_one():
    assert set(CASES) | {"clipbert_mlm"} == set(LOSSES)
    assert not any(name.startswith("multi") for name in LOSSES)
