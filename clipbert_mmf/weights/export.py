"""Turns our network into the released ClipBERT's state dict; ``loading`` does the reverse."""

from __future__ import annotations

import torch
from torch import Tensor

from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.backbones.grid_resnet import PIXEL_MEAN, PIXEL_STD, GridResnet
from clipbert_mmf.weights.formats import FORMATS

_RELEASED = FORMATS["clipbert"]
_BERT = "transformer.bert"


class ExportError(ValueError):
    """The requested format cannot hold a network; the message names the part and says what to do."""


def to_released_state(network: ClipBertNetwork) -> dict[str, Tensor]:
    """Return the network's tensors by the released model's names.

    The table of visual positions, which the released model has and never reads, is added as zeros. The bias
    of the masked-word head is added under both of its names. Strict readers need both.

    Args:
        network: network of one head.

    Raises:
        ExportError: if the released code would compute other scores with these tensors, or has no place for
            one.
    """
    _check_fits(network)
    state: dict[str, Tensor] = {}
    homeless: list[str] = []
    for own, value in network.state_dict().items():
        if own.endswith("num_batches_tracked"):  # the released model's frozen norms count nothing
            continue
        name = _RELEASED.rename(own)
        if name is None:
            homeless.append(own)
        else:
            state[name] = value.detach().cpu().contiguous()
    if homeless:
        raise ExportError(
            f"the released ClipBERT has no place for {', '.join(homeless[:4])}; use the folder format"
        )
    positions = state[f"{_BERT}.embeddings.position_embeddings.weight"]
    state[f"{_BERT}.visual_embeddings.position_embeddings.weight"] = torch.zeros_like(positions)
    if "transformer.cls.predictions.bias" in state:
        state["transformer.cls.predictions.decoder.bias"] = state["transformer.cls.predictions.bias"]
    return state


def _check_fits(network: ClipBertNetwork) -> None:
    backbone = network.backbone
    if not isinstance(backbone, GridResnet):
        raise ExportError(
            f"the released ClipBERT has a ResNet as its backbone and this model a {type(backbone).__name__}; "
            f"use the folder "
            f"format"
        )
    mean, std = backbone.pixel_mean.flatten().cpu(), backbone.pixel_std.flatten().cpu()
    for key, fits, wanted in (
        ("backbone.norm", hasattr(backbone.stem.norm, "running_mean"), "frozen_batch or batch"),
        ("backbone.stride_in_1x1", backbone.stride_in_1x1 or not backbone.is_bottleneck, "true"),
        ("backbone.bgr", backbone.bgr, "true"),
        ("backbone.pixel_mean", torch.equal(mean, torch.tensor(PIXEL_MEAN)), list(PIXEL_MEAN)),
        ("backbone.pixel_std", torch.equal(std, torch.tensor(PIXEL_STD)), list(PIXEL_STD)),
        ("transformer.type", not network.text_embedding.first_position, "bert"),
        ("grid_encoder.pool", network.grid_encoder.pool, "true"),
    ):
        if not fits:
            raise ExportError(
                f"the released ClipBERT computes with model_config.clipbert.{key}={wanted} and this model "
                f"does not, so "
                f"its weights would give other scores there; use the folder format"
            )
