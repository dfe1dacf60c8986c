"""A device that this machine lacks is told before a model is loaded."""

import pytest
import torch

from clipbert_mmf.inference.devices import choose_device


def test_the_processor_is_always_there():
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x"])
def test_a_name_of_no_device_is_refused(name):
    with pytest.raises(ValueError, match=f"device is '{name}'; expected cpu, cuda, or cuda:0"):
        choose_device(name)


def test_a_card_that_is_not_there_is_told():
    with pytest.raises(
        ValueError, match=r"device is 'cuda:99', and (PyTorch finds no card|there are \d+ cards)"
    ):
        choose_device("cuda:99")
