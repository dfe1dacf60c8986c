"""Parts of a model that are split apart, without starting processes; ``tests/e2e`` trains with them."""

import pytest
import torch
from torch import nn

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.options import ParallelOptions
from clipbert_mmf.training.sharding import (
    clip_gradients,
    count_state_bytes,
    find_clipped,
    find_repeated_blocks,
    gather_model_state,
    gather_optimizer_state,
    shard,
    unshard_parameters,
)


def test_layers_and_stages_are_what_is_split_apart():
    layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2) for _ in range(3))
    model = nn.ModuleDict(
        {
            "embedding": nn.Embedding(4, 8),
            "encoder": nn.ModuleDict({"layers": layers}),
            "head": nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)),
        }
    )
    assert find_repeated_blocks(model) == [*layers, model["head"][0], model["head"][2]]


def test_one_process_has_nothing_to_shard():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    assert shard(model, optimizer, ParallelOptions(sharding="full"), {}, torch.device("cpu")) is optimizer


def test_a_model_that_is_not_sharded_is_saved_as_it_is():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with unshard_parameters(model):
        assert gather_model_state(model).keys() == model.state_dict().keys()
    assert gather_optimizer_state(optimizer)["param_groups"] == optimizer.state_dict()["param_groups"]
    # Two moments of six float32 numbers, and a step for each of two parameters.
    assert count_state_bytes(optimizer) == 2 * 6 * 4 + 2 * 4


class Asked(nn.Module):
    """A model with the part that MMF's ``clip_norm_mode: question`` names."""

    def __init__(self):
        super().__init__()
        self.question_embedding_module, self.rest = nn.Linear(2, 2), nn.Linear(2, 2)


def test_gradients_of_the_part_that_is_named_are_clipped():
    model = Asked()
    assert find_clipped(model, "all") is model
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 10.0)
    clip_gradients(find_clipped(model, "question"), 1.0)
    clipped = torch.cat(
        [parameter.grad.flatten() for parameter in model.question_embedding_module.parameters()]
    )
    assert float(clipped.norm()) == pytest.approx(1.0, rel=1e-4)
    assert all(bool((parameter.grad == 10.0).all()) for parameter in model.rest.parameters())


def test_a_model_without_that_part_is_refused():
    with pytest.raises(ConfigurationError, match="training.clip_norm_mode is 'question'.*clip_norm_mode=all"):
        find_clipped(nn.Linear(2, 2), "question")
