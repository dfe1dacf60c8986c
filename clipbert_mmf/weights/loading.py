"""Loads files of any known format into our network: tensors that fit are used, the rest is reported.

A fine-tuning starts here from a pre-training checkpoint; its head is new.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.backbones.grid_resnet import GridResnet
from clipbert_mmf.modules.embedding import TEXT_FAMILIES
from clipbert_mmf.paths import PACKAGE_PREFIX, find_in_package
from clipbert_mmf.weights.files import WeightsFile, WeightsFileError, read_weights
from clipbert_mmf.weights.folded_norms import are_norms_folded, restore_norms
from clipbert_mmf.weights.formats import (
    FORMATS,
    WeightsFormat,
    detect_format,
    find_prefixes,
    modernise,
    why_unused,
)
from clipbert_mmf.weights.report import LoadReport
from clipbert_mmf.weights.text_families import check_family, read_description, refuse_other_families

logger = logging.getLogger(__name__)

#: Key of ``model_config.clipbert.weights`` -> beginnings of the names that it fills. The masked-word head
#: comes with the transformer it was trained in.
PARTS: dict[str, tuple[str, ...]] = {
    "clipbert": ("",),
    "backbone": ("backbone.",),
    "transformer": (
        "text_embedding.",
        "encoder.",
        "head.transform.",
        "head.norm.",
        "head.decoder.",
        "head.match.",
    ),
}
#: Tables of positions: a longer or shorter one gives its first rows, further rows stay random.
_POSITION_TABLES = (
    "text_embedding.positions.weight",
    "text_embedding.types.weight",
    "visual_embedding.rows.weight",
    "visual_embedding.columns.weight",
)

#: Tables of words: another number of rows means another vocabulary, whose rows are other words. Where only
#: the end differs (rows up to a round number, or a few added words), the first rows are used.
_WORD_TABLES = ("text_embedding.words.weight", "head.decoder.weight", "head.decoder.bias")
#: Endings of files of weights; names on the hub hold dots too (``timm/convnext_tiny.fb_in1k``).
_ENDINGS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pkl", ".pyth", ".npz", ".json", ".h5")
#: Weights in an installed package.
_WEIGHTS_PATTERNS = ("model.safetensors", "pytorch_model.bin", "*.pth", "*.pt", "*.pkl", "*.ckpt")
_MAX_ADDED_WORDS, _MAX_ADDED_SHARE = 128, 0.01


def load_weights(
    network: ClipBertNetwork, location: str | Path, part: str = "clipbert", strict: bool = False
) -> LoadReport:
    """Load what fits into the network and log what happened.

    Tables of positions, rows and columns of another length are used as far as they go, and so are
    vocabularies that differ by a few rows at the end (fewer than 128, at most 1 %); every other tensor of
    another shape is left random. All of it is reported.

    Args:
        network: changed in place.
        location: a file, a Hugging Face folder, ``pkg:<package>/<path>`` in an installed package, or the name
            of a model on the hub.
        part: a key of ``PARTS``.
        strict: raise where anything is missing, left over, resized or of a wrong shape.

    Raises:
        FileNotFoundError: if nothing is there.
        WeightsFileError: if the file cannot be read, is for another part, would compute other results in this
            network, or nothing fits; with ``strict`` also if not everything fits.
    """
    return load_file(network, read_weights(find_weights(location, part)), part, strict)


def load_file(
    network: ClipBertNetwork, file: WeightsFile, part: str = "clipbert", strict: bool = False
) -> LoadReport:
    """Do what ``load_weights`` does, with a file that is read already."""
    row, names = name_ours(network, file, part)
    check_suits(network, row, file, part)
    if row.fills == ("transformer",):
        _require_layers(network, file, names)
    report, values = match_tensors(network, file, row, names, part)
    if part == "backbone":
        _require_backbone(network, report, row)
    if not report.used or (strict and not report.is_complete):
        problem = "is not complete, as weights.strict asks" if report.used else "has nothing for this network"
        raise WeightsFileError(f"{file.path} {problem}\n{report}")
    network.load_state_dict(values, strict=False)
    logger.info("%s", report)
    _warn_of_vocabulary(report)
    return report


def _require_backbone(network: ClipBertNetwork, report: LoadReport, row: WeightsFormat) -> None:
    """Raise ``WeightsFileError`` if a part of the backbone would stay random between parts that were trained."""
    if not report.used or not (report.missing or report.wrong_shape):
        return
    stages = list(getattr(network.backbone, "stages", ()))
    lacking = [stage for stage in stages if f"backbone.stages.{stage}.0.path.0.conv.weight" in report.missing]
    kept = stages[: len(stages) - len(lacking)]
    advice = "the network of model_config.clipbert.backbone is another one than the file's"
    if lacking and kept and lacking == stages[len(kept) :]:
        advice = (
            f"the file ends before {lacking[0]}: set model_config.clipbert.backbone.out_stage={kept[-1]}, "
            f"which has the grid of its last layers"
        )
    raise WeightsFileError(f"{report.path} ({row.title}) does not fill the backbone: {advice}\n{report}")


def _warn_of_vocabulary(report: LoadReport) -> None:
    if "text_embedding.words.weight" in report.wrong_shape:
        given, own = report.wrong_shape["text_embedding.words.weight"]
        logger.warning(
            "%s has %d words and the model %d: another vocabulary, so the word embeddings stay random. To "
            "use them set "
            "model_config.clipbert.transformer.vocab_size=%d and the text_processor's tokenizer to the "
            "file's own",
            report.path,
            given[0],
            own[0],
            given[0],
        )


def find_weights(location: str | Path, part: str = "clipbert", where: str = "") -> Path:
    """Return the file or folder of a location, from the Hugging Face hub or its cache where it is a name there.

    Args:
        location: what a user named.
        part: key of ``model_config.clipbert.weights``.
        where: what named the location, for messages; empty for that key.

    Raises:
        FileNotFoundError: if there is neither.
    """
    where = where or f"model_config.clipbert.weights.{part}"
    if str(location).startswith(PACKAGE_PREFIX):
        return find_in_package(str(location), where, _WEIGHTS_PATTERNS)
    path = Path(location).expanduser()
    if path.exists():
        return path
    is_file_name = path.suffix.lower() in _ENDINGS
    looks_like_name = not path.is_absolute() and str(location).count("/") <= 1 and not is_file_name
    if not looks_like_name:
        raise FileNotFoundError(f"{where} is '{location}': no such file")
    from transformers.utils.hub import cached_file

    for name in ("model.safetensors", "pytorch_model.bin"):
        try:
            found = cached_file(str(location), name, _raise_exceptions_for_missing_entries=False)
            if found:
                cached_file(str(location), "config.json", _raise_exceptions_for_missing_entries=False)
                return Path(found).parent
        except OSError:
            continue
    raise FileNotFoundError(
        f"{where} is '{location}': no such file or folder, and no model of that name is in the Hugging Face cache or "
        f"could be fetched from the hub"
    )


def name_ours(network: ClipBertNetwork, file: WeightsFile, part: str) -> tuple[WeightsFormat, dict[str, str]]:
    """Return the file's format, and our name -> the file's name for each tensor that the format has.

    Raises:
        WeightsFileError: if no format fits, or the format's files do not hold this part.
    """
    file.tensors = {modernise(name): value for name, value in file.tensors.items()}
    full_names = {
        f"backbone.{own}": name for own, name in getattr(network.backbone, "full_names", {}).items()
    }
    if part == "transformer":
        refuse_other_families(file.tensors, file.path)
    found = detect_format(file.tensors)
    if part == "backbone" and (found is None or found[0] not in ("clipbert_mmf", "clipbert")):
        found = _find_timm(file.tensors, full_names) or found
    if found is None:
        known = ", ".join(row.title for row in FORMATS.values())
        raise WeightsFileError(
            f"{file.path} has names of no known format, such as {sorted(file.tensors)[:4]}; known are {known}"
        )
    key, prefixes = found
    row = FORMATS[key]
    if part not in row.fills:
        raise WeightsFileError(
            f"{file.path} is {row.title}; it belongs in "
            f"model_config.clipbert.weights.{' or .'.join(row.fills)}, "
            f"not in .{part}"
        )
    if key == "torchvision":
        file.tensors = restore_norms(file.tensors)
    if full_names and part == "backbone" and row.rename_timm is not None:
        # What the format has no name for is missing, not passed over.
        renamed = {own: name or own for own, name in row.rename_timm(full_names).items()}
    else:
        renamed = {own: row.rename(own) for own in network.state_dict() if own.startswith(PARTS[part])}
    choices = [
        {own: prefix + name for own, name in renamed.items() if name is not None} for prefix in prefixes
    ]
    return row, max(choices, key=lambda names: sum(name in file.tensors for name in names.values()))


def _find_timm(names: Iterable[str], full_names: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """Return the format ``timm`` and its prefixes, where a file has most names of the network's backbone."""
    wanted, names = set(full_names.values()), set(names)
    if not wanted:
        return None
    first = next(iter(full_names.values()))
    for prefix in find_prefixes(names, (first,)):
        if 2 * sum(prefix + name in names for name in wanted) > len(wanted):
            return "timm", [prefix]
    return None


def match_tensors(
    network: ClipBertNetwork, file: WeightsFile, row: WeightsFormat, names: dict[str, str], part: str
) -> tuple[LoadReport, dict[str, Tensor]]:
    """Compare shapes.

    Args:
        network: network to compare with; it may be on the meta device.
        file: file that is read already.
        row: the file's format.
        names: our name -> the file's name.
        part: a key of ``PARTS``.

    Returns:
        The report, and the values to load by our names.
    """
    report = LoadReport(str(file.path), part, row.title, notes=file.notes)
    state: dict[str, Tensor] = network.state_dict()
    values: dict[str, Tensor] = {}
    for own, name in names.items():
        value, target = file.tensors.get(name), state[own]
        constant = row.constants.get(own.rpartition(".")[2])
        if value is None and constant is not None and ".norm." in own:
            values[own] = torch.full_like(target, constant)
        elif value is None:
            if not own.endswith("num_batches_tracked"):
                report.missing.append(own)
            continue
        elif value.shape == target.shape:
            values[own] = value
        elif _may_take_first_rows(own, value, target):
            rows = min(len(value), len(target))
            # On the meta device tensors are compared only.
            values[own] = (
                target if target.is_meta else torch.cat([value[:rows].to(target.dtype), target[rows:]])
            )
            report.resized[own] = (tuple(value.shape), tuple(target.shape))
        else:
            report.wrong_shape[own] = (tuple(value.shape), tuple(target.shape))
            continue
        report.used.append(own)
    decoder: Any = getattr(network.head, "decoder", None)
    if decoder is not None and decoder.weight is network.text_embedding.words.weight:
        # Tied to the word embeddings, it is filled with them; files have it once.
        report.missing = [name for name in report.missing if name != "head.decoder.weight"]
    if part != "clipbert":
        _keep_heads_quiet(report)
    fills_timm = (
        part == "backbone" and row.rename_timm is not None and hasattr(network.backbone, "full_names")
    )
    _sort_rest(report, file, row, names, fills_timm)
    return report, values


def _may_take_first_rows(own: str, value: Tensor, target: Tensor) -> bool:
    if value.dim() != target.dim() or value.shape[1:] != target.shape[1:]:
        return False
    if own in _WORD_TABLES:
        added = abs(len(value) - len(target))
        return added < _MAX_ADDED_WORDS and added <= _MAX_ADDED_SHARE * max(len(value), len(target))
    return own in _POSITION_TABLES


def _keep_heads_quiet(report: LoadReport) -> None:
    # A BERT without its masked-word head is as good: the head is then new, like those of the tasks.
    if not any(name.startswith("head.") for name in report.used):
        report.missing = [name for name in report.missing if not name.startswith("head.")]


def _sort_rest(
    report: LoadReport, file: WeightsFile, row: WeightsFormat, names: dict[str, str], fills_timm: bool
) -> None:
    asked = set(names.values())
    for name in file.tensors:
        if name in asked:
            continue
        reason = why_unused(row, name, fills_timm)
        if reason is None and report.part != "clipbert" and "clipbert" in row.fills:
            reason = "other parts of ClipBERT"
        if reason is None:
            report.left_over.append(name)
        else:
            report.unused[name] = reason


def check_suits(network: ClipBertNetwork, row: WeightsFormat, file: WeightsFile, part: str) -> None:
    """Raise ``WeightsFileError`` for weights whose shapes fit and that would still compute other results."""
    state = network.state_dict()
    backbone = network.backbone
    if isinstance(backbone, GridResnet) and part != "transformer" and row.stride_in_1x1 is not None:
        if backbone.is_bottleneck and backbone.stride_in_1x1 != row.stride_in_1x1:
            value = str(row.stride_in_1x1).lower()
            raise WeightsFileError(
                f"{file.path} is {row.title}, whose blocks stride in their "
                f"{'first 1x1' if row.stride_in_1x1 else '3x3'} "
                f"convolution; set model_config.clipbert.backbone.stride_in_1x1={value}"
            )
        if "backbone.stem.norm.running_mean" not in state:
            raise WeightsFileError(
                f"{file.path} is {row.title}, trained with batch norm; set "
                f"model_config.clipbert.backbone.norm to "
                f"frozen_batch or batch"
            )
        if row.stride_in_1x1 is False and backbone.bgr:
            logger.warning(
                "%s is %s, trained on RGB frames divided by their deviation; set "
                "model_config.clipbert.backbone.bgr=false "
                "and pixel_std=[58.395,57.12,57.375]",
                file.path,
                row.title,
            )
    if part == "backbone":
        _check_kind(backbone, row, file)
    _check_pixels(backbone, file)
    trains_norms = bool(getattr(backbone, "needs_all_frames", False))
    if part == "backbone" and trains_norms and (row.constants or are_norms_folded(file.tensors)):
        raise WeightsFileError(
            f"{file.path} is {row.title} whose batch norms are folded into scales and biases, so that a norm "
            f"that takes its statistics from batches would compute something else; set "
            f"model_config.clipbert.backbone.norm=frozen_batch"
        )
    if row.fills == ("transformer",):
        has_heads = {FORMATS["bert"].title: False, FORMATS["roberta"].title: True}
        check_family(network.text_embedding, file, has_heads.get(row.title))
        described = read_description(file.path)
        first: Any = network.encoder.layers[0]
        if described is not None:
            _check_text_encoder(network, *described)
        else:
            logger.warning(
                "%s: no config.json lies beside it, so that num_heads=%d, layer_norm_eps and the exact GELU of "
                "model_config.clipbert.transformer are taken for the file's",
                file.path,
                first.num_heads,
            )
    elif part != "backbone":
        _check_own_family(network, file)


def _check_own_family(network: ClipBertNetwork, file: WeightsFile) -> None:
    """Raise ``WeightsFileError`` if a ClipBERT counts positions otherwise than the network."""
    types = network.text_embedding.types.num_embeddings
    for name, value in file.tensors.items():
        is_table = name.endswith(
            ("text_embedding.types.weight", "bert.embeddings.token_type_embeddings.weight")
        )
        if is_table and len(value) != types:
            raise WeightsFileError(
                f"{file.path} was trained with {len(value)} token types and the network has {types}: they are "
                f"of different families; set model_config.clipbert.transformer.type to the file's"
            )


def _require_layers(network: ClipBertNetwork, file: WeightsFile, names: Mapping[str, str]) -> None:
    """Raise ``WeightsFileError`` if a text encoder's layers have less, or more, than the cross-encoder's."""
    lacking = [
        name
        for own, name in names.items()
        if own.startswith("encoder.layers.0.") and name not in file.tensors
    ]
    asked, num_layers = set(names.values()), len(network.encoder.layers)
    beyond = [
        name
        for name in file.tensors
        if name not in asked
        and (found := re.search(r"(^|\.)encoder\.layer\.(\d+)\.", name))
        and int(found[2]) < num_layers
        and not any(other.endswith(name[found.start(2) :]) for other in asked)
    ]
    if lacking or beyond:
        which = f"lacks {lacking[0]}" if lacking else f"has {beyond[0]} beside them"
        raise WeightsFileError(
            f"{file.path} is no text encoder that the cross-encoder computes: its layers are not those of "
            f"{', '.join(TEXT_FAMILIES)}; it {which}"
        )


def _check_kind(backbone: nn.Module, row: WeightsFormat, file: WeightsFile) -> None:
    """Raise ``WeightsFileError`` for a file of another type of backbone."""
    is_timm = hasattr(backbone, "full_names")
    if row.is_of_timm_only and not is_timm:
        raise WeightsFileError(
            f"{file.path} is {row.title}; set model_config.clipbert.backbone.type=timm and backbone.name to its "
            f"network, such as tf_efficientnet_lite0"
        )
    if is_timm and row.rename_timm is None and row.fills == ("backbone",):
        raise WeightsFileError(
            f"{file.path} is {row.title}; set model_config.clipbert.backbone.type=grid_resnet and backbone.depth "
            f"to its network"
        )


def _check_pixels(backbone: nn.Module, file: WeightsFile) -> None:
    """Raise ``WeightsFileError`` if a file of ours was trained with other pixels than the user asks for."""
    for key in ("pixel_mean", "pixel_std"):
        saved = next((v for name, v in file.tensors.items() if name.endswith(f"backbone.{key}")), None)
        own = getattr(backbone, key, None)
        if saved is None or own is None or own.is_meta or not getattr(backbone, "has_own_pixels", False):
            continue
        if not torch.allclose(saved.flatten().cpu(), own.flatten().cpu(), atol=0.5):
            raise WeightsFileError(
                f"model_config.clipbert.backbone.{key} is {own.flatten().tolist()}, and {file.path} was trained "
                f"with {saved.flatten().tolist()}; set backbone.{key}=null, which takes the file's"
            )


def _check_text_encoder(network: ClipBertNetwork, place: Path, config: Mapping[str, Any]) -> None:
    layer: Any = network.encoder.layers[0]
    hidden_size, eps = network.encoder.pooler.in_features, layer.attention_norm.eps
    for key, wanted, why in (
        ("hidden_size", hidden_size, "set model_config.clipbert.transformer to the sizes of this file"),
        (
            "num_attention_heads",
            layer.num_heads,
            "set model_config.clipbert.transformer.num_heads to the same",
        ),
        ("hidden_act", "gelu", "the cross-encoder computes the exact GELU"),
        ("position_embedding_type", "absolute", "the cross-encoder adds absolute positions"),
        ("layer_norm_eps", eps, "set model_config.clipbert.transformer.layer_norm_eps to the same"),
        (
            "pad_token_id",
            network.text_embedding.words.padding_idx,
            "the padding of transformer.type is another; such a file is not known",
        ),
    ):
        if config.get(key, wanted) not in (wanted, None):
            raise WeightsFileError(f"{place}: {key} is {config[key]!r}, expected {wanted!r}: {why}")
