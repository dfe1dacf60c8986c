"""Tells which family of text encoders a file is of, and refuses those that the cross-encoder does not compute."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from clipbert_mmf.json_text import parse_json
from clipbert_mmf.modules.embedding import TEXT_FAMILIES, TextEmbedding
from clipbert_mmf.weights.files import WeightsFile, WeightsFileError

#: Names that only one family has -> the family, and what it computes otherwise.
_OTHERS: dict[str, tuple[str, str]] = {
    r"(^|\.)distilbert\.|\.attention\.q_lin\.": ("DistilBERT", "it has neither token types nor a pooler"),
    r"(^|\.)albert\.|albert_layer_groups": ("ALBERT", "its layers share one set of weights"),
    r"(^|\.)deberta\.|rel_embeddings\.|\.in_proj\.|\.query_proj\.": (
        "DeBERTa",
        "its attention reads relative positions",
    ),
    r"(^|\.)electra\.|embeddings_project\.": ("ELECTRA", "it has no pooler, and small ones narrower words"),
    r"(^|\.)mpnet\.|relative_attention_bias\.": ("MPNet or T5", "its attention reads relative positions"),
    r"(^|\.)mobilebert\.|\.bottleneck\.input\.": ("MobileBERT", "its layers have bottlenecks"),
    r"(^|\.)longformer\.|\.query_global\.": ("Longformer", "its attention is local"),
    r"(^|\.)squeezebert\.|(^|\.)convbert\.|key_conv_attn_layer": ("ConvBERT", "its layers convolve"),
    r"(^|\.)funnel\.|(^|\.)xlnet\.|(^|\.)fnet\.|(^|\.)roformer\.|(^|\.)big_bird\.|\.Wqkv\.": (
        "another family",
        "its layers are not BERT's",
    ),
    r"distance_embedding\.": ("BERT with relative positions", "the cross-encoder adds absolute positions"),
}
#: Lengths of RoBERTa's table of positions: a power of two, and two rows for padding.
_ROBERTA_ROWS = {2**power + 2 for power in range(7, 15)}
_WORDS, _POSITIONS, _TYPES = (
    f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")
)


def refuse_other_families(names: Iterable[str], path: Path) -> None:
    """Raise ``WeightsFileError`` for names of a text encoder whose layers are not BERT's."""
    text = "\n".join(names)
    for pattern, (family, reason) in _OTHERS.items():
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            raise WeightsFileError(
                f"{path} is a text encoder of the family {family}, which the cross-encoder does not compute: "
                f"{reason}. weights.transformer takes {', '.join(TEXT_FAMILIES)}"
            )


def read_description(path: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the ``config.json`` of a Hugging Face folder, or beside one of its files; None without one.

    Raises:
        WeightsFileError: if it is damaged.
    """
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file():
        return None
    try:
        config = parse_json(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise WeightsFileError(f"{file} is damaged, it is not JSON: {error}") from error
    return (file, config) if isinstance(config, dict) and "model_type" in config else None


def looks_like_roberta(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the tables of a file with BERT's names are RoBERTa's.

    They have one token type, zeros for padding at id 1, or two more positions than a power of two.
    """
    tables = {
        key: value
        for name, value in tensors.items()
        for key in (_WORDS, _POSITIONS, _TYPES)
        if name.endswith(key) and value.dim() == 2
    }
    words, positions, types = (tables.get(key) for key in (_WORDS, _POSITIONS, _TYPES))
    pads_at_1 = words is not None and len(words) > 1 and not bool(words[1].any()) and bool(words[0].any())
    return (
        (types is not None and len(types) == 1)
        or (positions is not None and len(positions) in _ROBERTA_ROWS)
        or pads_at_1
    )


def check_family(embedding: TextEmbedding, file: WeightsFile, is_roberta: bool | None) -> None:
    """Raise ``WeightsFileError`` if a file counts positions and padding otherwise than the network.

    Args:
        embedding: the network's text embedding.
        file: a text encoder of others.
        is_roberta: whether its names are RoBERTa's; None where both have these names.
    """
    described = read_description(file.path)
    reason = "its names are RoBERTa's" if is_roberta else "its names are BERT's"
    if described is not None:
        place, config = described
        name = str(config["model_type"])
        if name not in TEXT_FAMILIES:
            raise WeightsFileError(
                f"{place}: model_type is {name!r}, expected one of {', '.join(TEXT_FAMILIES)}: only their layers "
                f"are the cross-encoder's"
            )
        is_roberta, reason = TEXT_FAMILIES[name].first_position > 0, f"{place} says {name}"
    elif is_roberta is None:
        is_roberta = looks_like_roberta(file.tensors)
        reason = (
            "it has RoBERTa's tables (one token type, padding at id 1 or two more positions)"
            if is_roberta
            else "no config.json lies beside it, and without one its tables are taken for BERT's"
        )
    if is_roberta == (embedding.first_position > 0):
        return
    wanted, own = ("roberta", "bert") if is_roberta else ("bert", "roberta")
    raise WeightsFileError(
        f"{file.path}: {reason}, and the network counts positions as {own} does, so that every word would be at "
        f"the wrong position; set model_config.clipbert.transformer.type={wanted}"
        + ("" if described or not is_roberta else ", or give the folder with its config.json")
    )
