"""Gives each answer of a new vocabulary the row of the head that it had in a trained model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

#: Last layer of a head, of the only one or of a dataset's.
_OUTPUT = re.compile(r"head\.(?:(?P<dataset>.+)\.)?output\.(?:weight|bias)")


def reorder_answers(
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    before: Mapping[str, Sequence[str]],
    now: Mapping[str, Sequence[str]],
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Put the rows of the heads' last layers in the order of other answers.

    A row says how well one answer fits; under another answer's number it would say so of that one.

    Args:
        tensors: of the trained model; a prefix before their names may stay.
        own: of the new network, whose rows are kept for answers that the trained model did not know.
        before: answers of the trained model by dataset.
        now: answers of the run by dataset.

    Returns:
        The tensors, and the number of answers that were known by dataset, of those whose rows moved.
    """
    changed, known = dict(tensors), dict[str, int]()
    for name, target in own.items():
        match = _OUTPUT.fullmatch(name)
        file_name = next((given for given in tensors if given == name or given.endswith(f".{name}")), None)
        if match is None or file_name is None:
            continue
        dataset = match["dataset"] or next(iter(now), "")
        old, new, rows = before.get(dataset, ()), now.get(dataset, ()), tensors[file_name]
        fits = len(old) <= len(rows) and len(new) <= len(target) and rows.shape[1:] == target.shape[1:]
        if not old or not new or tuple(old) == tuple(new) or not fits:
            continue
        places = {answer: place for place, answer in enumerate(old)}
        found = [(place, places[answer]) for place, answer in enumerate(new) if answer in places]
        # A sharded network has a part of it here.
        moved: Tensor = getattr(target, "full_tensor", target.detach().clone)()
        if found:
            at, of = torch.tensor(found).T
            moved = moved.index_copy(0, at.to(moved.device), rows[of].to(moved))
        changed[file_name], known[dataset] = moved, len(found)
    return changed, known
