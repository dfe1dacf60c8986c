"""Fills a network with exactly the tensors of a file, and lists its tensors for one."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import ModelConfig
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.weights.files import WeightsFile, WeightsFileError
from clipbert_mmf.weights.formats import detect_format
from clipbert_mmf.weights.loading import load_file, match_tensors, name_ours


def count_outputs(file: WeightsFile) -> int | None:
    """Return the number of outputs of the head in a file of weights; None where it has no such head."""
    names = ("head.output.bias", "classifier.2.bias")
    return next((len(value) for name, value in file.tensors.items() if name.endswith(names)), None)


def load_network(config: ModelConfig, file: WeightsFile) -> ClipBertNetwork:
    """Build the network of a configuration and fill it with the weights of a file, all of them and nothing else.

    Raises:
        WeightsFileError: if the file is not of this network.
    """
    # Compared before memory is taken: a description from elsewhere may ask for any size.
    with torch.device("meta"):
        sketch = build_network(config)
    _require_all(sketch, file)
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    load_file(network, _with_shared(network, file), strict=True)
    return network


def _require_all(sketch: ClipBertNetwork, file: WeightsFile) -> None:
    found = detect_format(file.tensors)
    if found is None or found[0] not in ("clipbert_mmf", "clipbert"):
        raise WeightsFileError(
            f"{file.path} is not a ClipBERT; its names are such as {sorted(file.tensors)[:4]}"
        )
    row, names = name_ours(sketch, file, "clipbert")
    report, _ = match_tensors(sketch, _with_shared(sketch, file), row, names, "clipbert")
    if not report.is_complete:
        raise WeightsFileError(
            f"{file.path} is not of the network that its configuration describes\n{report}"
        )


def _with_shared(network: ClipBertNetwork, file: WeightsFile) -> WeightsFile:
    """Return the file with both names of every tensor that two modules share.

    Safetensors saves it under one.
    """
    missing = {
        second: first
        for second, first in shared_names(network).items()
        if second not in file.tensors and first in file.tensors
    }
    if not missing:
        return file
    again = {second: file.tensors[first] for second, first in missing.items()}
    return replace(file, tensors={**file.tensors, **again})


def shared_names(network: ClipBertNetwork) -> dict[str, str]:
    """Return, for each parameter that two modules share, its second name -> its first."""
    first: dict[int, str] = {}
    shared: dict[str, str] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            shared[name] = first[id(parameter)]
        else:
            first[id(parameter)] = name
    return shared


def distinct_tensors(network: ClipBertNetwork) -> dict[str, Tensor]:
    """Return the network's state on the CPU with each shared tensor once, as safetensors needs it."""
    shared = shared_names(network)
    state = network.state_dict()
    return {name: value.detach().cpu().contiguous() for name, value in state.items() if name not in shared}
