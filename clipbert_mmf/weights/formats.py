"""Whose names a file uses: one row per foreign format, recognised by what is inside (spec section 8).

A format is a function from our names to its own, so reading and writing share it. After ``files``, before ``loading``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from clipbert_mmf.weights.bert_names import to_bert, to_visual_bert
from clipbert_mmf.weights.resnet_names import to_caffe2, to_detectron2, to_mmaction2, to_torchvision


@dataclass(frozen=True)
class Format:
    """One way to name tensors.

    Attributes:
        title: for people.
        signatures: endings of names; a file with one of them is of this format, and what stands before is its prefix.
        rename: our name -> its name without the prefix, or None where the format has no such part.
        fills: where to use it for: ``clipbert``, ``backbone``, ``transformer``.
        unused: patterns of names that are known and of no use here, with the reason.
        constants: last part of our name -> value, where the format leaves out what never varies.
        stride_in_1x1: where its bottlenecks stride, None where it does not matter.
    """

    title: str
    signatures: tuple[str, ...]
    rename: Callable[[str], str | None]
    fills: tuple[str, ...]
    unused: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    stride_in_1x1: bool | None = None


def _keep(own: str) -> str:
    return own


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


_COUNTERS = {r"num_batches_tracked$": "a counter"}
_BERT_UNUSED = {
    r"position_ids$": "a constant",
    r"cls\.predictions\.decoder\.bias$": "the same as cls.predictions.bias",
}

#: In the order in which they are tried.
FORMATS: dict[str, Format] = {
    "clipbert_mmf": Format(
        "our own checkpoint",
        (
            "visual_embedding.rows.weight",
            "backbone.stem.conv.weight",
            "encoder.layers.0.attention_norm.weight",
        ),
        _keep,
        ("clipbert", "backbone", "transformer"),
    ),
    "clipbert": Format(
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
    "detectron2": Format(
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
    "caffe2": Format(
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
    "mmaction2": Format(
        "mmaction2's TSN",
        ("layer1.0.conv1.conv.weight",),
        to_mmaction2,
        ("backbone",),
        {r"cls_head\.": "the action classifier", **_COUNTERS},
        stride_in_1x1=False,
    ),
    "torchvision": Format(
        "torchvision's ResNet",
        ("layer1.0.conv1.weight",),
        to_torchvision,
        ("backbone",),
        {r"(^|\.)fc\.": "ImageNet's classifier", **_COUNTERS},
        stride_in_1x1=False,
    ),
    "bert": Format(
        "a BERT with heads",
        ("bert.embeddings.word_embeddings.weight",),
        to_bert,
        ("transformer",),
        _BERT_UNUSED,
    ),
    "bare_bert": Format(
        "a BERT", ("embeddings.word_embeddings.weight",), _to_bare_bert, ("transformer",), _BERT_UNUSED
    ),
}


def find_prefixes(names: Iterable[str], signatures: Iterable[str]) -> list[str]:
    """Return what stands before the first signature that names end with, shortest first; empty if none does."""
    names = list(names)
    for signature in signatures:
        found = {
            name[: -len(signature)] for name in names if name == signature or name.endswith("." + signature)
        }
        if found:
            return sorted(found, key=len)
    return []


def detect_format(names: Iterable[str]) -> tuple[str, list[str]] | None:
    """Return the key of the format of a file with these names, and its possible prefixes; None if none fits.

    A module that is registered twice has two prefixes, one of which may cover a part of it only.
    """
    names = list(names)
    for key, row in FORMATS.items():
        prefixes = find_prefixes(names, row.signatures)
        if prefixes:
            return key, prefixes
    return None


def modernise(name: str) -> str:
    """Rename what TensorFlow's BERT calls ``gamma`` and ``beta``."""
    return re.sub(
        r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    )


def why_unused(row: Format, name: str) -> str | None:
    """Return why a name of a file is known to be of no use, or None."""
    return next((reason for pattern, reason in row.unused.items() if re.search(pattern, name)), None)
