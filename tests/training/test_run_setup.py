"""What the trainer makes of MMF's optimizer before the first update."""

import pytest
import torch
from torch import nn

pytest.importorskip("mmf")

from omegaconf import OmegaConf

import clipbert_mmf.plugin.registration  # noqa: F401
from clipbert_mmf.training.distributed import ParallelOptions
from clipbert_mmf.training.run_setup import RunSetup


def prepare(**params):
    setup = RunSetup()
    setup.config = OmegaConf.create({"optimizer": {"type": "AdamW", "params": params}})
    setup.run_type, setup.parallel_options, setup.device = "train", ParallelOptions(), torch.device("cpu")
    setup.model = nn.Linear(2, 2)
    # As MMF does it: what the configuration holds goes into the groups.
    configured = setup.config.optimizer.params
    setup.optimizer = torch.optim.AdamW(
        [{"params": list(setup.model.parameters()), **configured}], **configured
    )
    setup.prepare_optimizer()
    return setup.optimizer


def test_groups_hold_plain_values_that_any_reader_of_checkpoints_accepts():
    optimizer = prepare(betas=[0.9, 0.98], lr=0.5)
    group = optimizer.param_groups[0]
    assert (
        type(group["betas"]) in (list, tuple) and list(group["betas"]) == [0.9, 0.98] and group["lr"] == 0.5
    )


def test_the_configuration_can_keep_the_step_of_before():
    assert prepare(fused=False).param_groups[0]["fused"] is False
