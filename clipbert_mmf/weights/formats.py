"""The table of foreign formats: how each names its tensors, and how a file is recognised by its names.

A format is a function from our names to its own, so reading and writing share it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from clipbert_mmf.weights.bert_names import to_bert, to_roberta, to_visual_bert
from clipbert_mmf.weights.efficientnet_names import to_efficientnet_pytorch
from clipbert_mmf.weights.resnet_names import to_caffe2, to_detectron2, to_mmaction2, to_torchvision


@dataclass(frozen=True)
class WeightsFormat:
    """One way to name tensors.

    Attributes:
        title: name for people.
        signatures: endings of names; a file with one of them is of this format, and the rest of the name is
            its prefix.
        rename: our name -> its name without the prefix, or None where the format has no such part.
        fills: keys of ``model_config.clipbert.weights`` that such a file is for.
        unused: pattern of names that are known and not used -> the reason.
        constants: last part of our name -> value, for tensors that the format leaves out because they never
            vary.
        stride_in_1x1: whether its bottlenecks stride in their first 1x1 convolution; None where it does not
            matter.
        rename_timm: for a backbone of timm: (our name -> name in timm's whole network) -> (our name -> name
            in the format). None where the format is of other networks.
    """

    title: str
    signatures: tuple[str, ...]
    rename: Callable[[str], str | None]
    fills: tuple[str, ...]
    unused: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    stride_in_1x1: bool | None = None
    rename_timm: Callable[[Mapping[str, str]], Mapping[str, str | None]] | None = None

    @property
    def is_of_timm_only(self) -> bool:
        """Whether only a backbone of timm can be filled from it."""
        return self.rename is _rename_nothing


def _keep(own: str) -> str:
    return own


def _rename_nothing(own: str) -> str | None:
    return None


def _to_released(own: str) -> str | None:
    if own == "grid_encoder.conv.weight":
        return "cnn.grid_encoder.0.weight"
    backbone = to_detectron2(own)
    if backbone is not None:
        return f"cnn.feature.backbone.{backbone}"
    transformer = to_visual_bert(own)
    return None if transformer is None else f"transformer.{transformer}"


def _to_bare_bert(own: str) -> str | None:
    name = to_bert(own)
    return name.removeprefix("bert.") if name and name.startswith("bert.") else None


_BEHIND = "layers behind the grid"
_COUNTERS = {r"num_batches_tracked$": "a counter"}
_BERT_UNUSED = {
    r"position_ids$": "a constant",
    r"cls\.predictions\.decoder\.bias$": "the same as cls.predictions.bias",
}

#: In the order in which they are tried.
FORMATS: dict[str, WeightsFormat] = {
    "clipbert_mmf": WeightsFormat(
        "our own checkpoint",
        (
            "visual_embedding.rows.weight",
            "backbone.stem.conv.weight",
            "encoder.layers.0.attention_norm.weight",
        ),
        _keep,
        ("clipbert", "backbone", "transformer"),
    ),
    "clipbert": WeightsFormat(
        "the released ClipBERT",
        ("cnn.grid_encoder.0.weight", "transformer.bert.visual_embeddings.row_position_embeddings.weight"),
        _to_released,
        ("clipbert", "backbone", "transformer"),
        {
            r"cnn\.feature\.(proposal_generator|roi_heads|pixel_)": "parts of the object detector",
            r"visual_embeddings\.position_embeddings\.weight$": "a table the released model never reads",
            **_BERT_UNUSED,
            **_COUNTERS,
        },
        stride_in_1x1=True,
    ),
    "detectron2": WeightsFormat(
        "Detectron2's or grid-feat's ResNet",
        ("stem.conv1.weight",),
        to_detectron2,
        ("backbone",),
        {
            r"(proposal_generator|roi_heads|pixel_|anchor)": "parts of the object detector",
            r"fpn_": "a feature pyramid",
            r"(fc1000|linear)\.": "ImageNet's classifier",
            **_COUNTERS,
        },
        stride_in_1x1=True,
    ),
    "caffe2": WeightsFormat(
        "MSRA's ImageNet ResNet from Caffe2",
        ("res2_0_branch2a_w",),
        to_caffe2,
        ("backbone",),
        {
            r"^(fc1000|pred)_": "ImageNet's classifier",
            r"^conv1_b$": "zeros",
            r"_momentum$": "training state",
            r"_(rm|riv)$": "statistics that are folded into scale and bias",
        },
        {"running_mean": 0.0, "running_var": 1.0},
        stride_in_1x1=True,
    ),
    "mmaction2": WeightsFormat(
        "mmaction2's TSN",
        ("layer1.0.conv1.conv.weight",),
        to_mmaction2,
        ("backbone",),
        {r"cls_head\.": "the action classifier", **_COUNTERS},
        stride_in_1x1=False,
    ),
    "torchvision": WeightsFormat(
        "torchvision's ResNet",
        ("layer1.0.conv1.weight",),
        to_torchvision,
        ("backbone",),
        {r"(^|\.)fc\.": "ImageNet's classifier", **_COUNTERS},
        stride_in_1x1=False,
        rename_timm=dict,
    ),
    "efficientnet_pytorch": WeightsFormat(
        "an EfficientNet of efficientnet_pytorch",
        ("_conv_stem.weight",),
        _rename_nothing,
        ("backbone",),
        {r"^(?!.*_blocks\.)(.*\.)?(_conv_head|_bn1|_fc)\.": _BEHIND, **_COUNTERS},
        rename_timm=to_efficientnet_pytorch,
    ),
    "timm": WeightsFormat(
        "an image network of timm",
        # Networks of timm have few names in common; ``loading`` recognises them by those of the network too.
        (
            "conv_stem.weight",
            "patch_embed.proj.weight",
            "stem.conv.weight",
            "stem.0.weight",
            "stem.conv1.weight",
        ),
        _rename_nothing,
        ("backbone",),
        {r"(^|\.)(head|conv_head|classifier|fc)\.": _BEHIND, **_COUNTERS},
        rename_timm=dict,
    ),
    "bert": WeightsFormat(
        "a BERT with heads",
        ("bert.embeddings.word_embeddings.weight",),
        to_bert,
        ("transformer",),
        _BERT_UNUSED,
    ),
    "roberta": WeightsFormat(
        "a RoBERTa, XLM-R or CamemBERT with heads",
        ("roberta.embeddings.word_embeddings.weight",),
        to_roberta,
        ("transformer",),
        {r"position_ids$": "a constant", r"lm_head\.decoder\.bias$": "the same as lm_head.bias"},
    ),
    "bare_bert": WeightsFormat(
        "a BERT or RoBERTa",
        ("embeddings.word_embeddings.weight",),
        _to_bare_bert,
        ("transformer",),
        _BERT_UNUSED,
    ),
}


def find_prefixes(names: Iterable[str], signatures: Iterable[str]) -> list[str]:
    """Return the prefixes of names that end with the first signature found, shortest first.

    Empty if none is found.
    """
    names = list(names)
    for signature in signatures:
        found = {
            name[: -len(signature)] for name in names if name == signature or name.endswith("." + signature)
        }
        if found:
            return sorted(found, key=len)
    return []


def detect_format(names: Iterable[str]) -> tuple[str, list[str]] | None:
    """Return the key of the format that has these names, and its possible prefixes; None if no format fits.

    A module that is registered twice has two prefixes, one of which may cover a part of it only.
    """
    names = list(names)
    for key, row in FORMATS.items():
        prefixes = find_prefixes(names, row.signatures)
        if prefixes:
            return key, prefixes
    return None


def modernise(name: str) -> str:
    """Return a name with ``weight`` and ``bias`` for TensorFlow's ``gamma`` and ``beta``."""
    return re.sub(
        r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    )


def why_unused(row: WeightsFormat, name: str, fills_timm: bool = False) -> str | None:
    """Return the reason why a name of a file is not used, or None for an unknown name.

    Args:
        row: the file's format.
        name: a name in the file.
        fills_timm: whether the file fills a backbone of timm, which has the first layers of a network.
    """
    known = next((reason for pattern, reason in row.unused.items() if re.search(pattern, name)), None)
    return known or (_BEHIND if fills_timm else None)
