"""Our network to the released ClipBERT's state dict: the way back of ``loading`` (spec section 8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clipbert_mmf.modules.backbones.grid_resnet import PIXEL_MEAN, PIXEL_STD
from clipbert_mmf.weights.formats import FORMATS

_RELEASED = FORMATS["clipbert"]
_BERT = "transformer.bert"


class ExportError(ValueError):
    """A network that the asked format cannot hold; the message says which part and what to do."""


def to_released_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the network's tensors by the released model's names.

    A table of visual positions, which the released model has and never reads, is added as zeros, and the masked-word
    head's bias under both of its names: strict readers ask for them.

    Args:
        network: a ``ClipBertNetwork``.

    Raises:
        ExportError: if the released code would compute something else with these tensors, or has no place for one.
    """
    _check_fits(network)
    state, homeless = {}, []
    for own, value in network.state_dict().items():
        if own.endswith("num_batches_tracked"):  # its frozen norms count nothing
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


def _check_fits(network: nn.Module) -> None:
    backbone = network.backbone
    mean, std = backbone.pixel_mean.flatten().cpu(), backbone.pixel_std.flatten().cpu()
    for key, fits, wanted in (
        ("backbone.norm", hasattr(backbone.stem.norm, "running_mean"), "frozen_batch or batch"),
        ("backbone.stride_in_1x1", backbone.stride_in_1x1 or not backbone.is_bottleneck, "true"),
        ("backbone.bgr", backbone.bgr, "true"),
        ("backbone.pixel_mean", torch.equal(mean, torch.tensor(PIXEL_MEAN)), list(PIXEL_MEAN)),
        ("backbone.pixel_std", torch.equal(std, torch.tensor(PIXEL_STD)), list(PIXEL_STD)),
        ("grid_encoder.pool", network.grid_encoder.pool, "true"),
    ):
        if not fits:
            raise ExportError(
                f"the released ClipBERT computes with model_config.clipbert.{key}={wanted} and this model does not, so "
                f"its weights would give other scores there; use the folder format"
            )
