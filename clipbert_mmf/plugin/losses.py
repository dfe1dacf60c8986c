"""Losses registered with MMF: each unpacks a batch and calls ``scoring.objectives``.

In runs over several datasets ``params.datasets`` says whose batches a loss is for, and ``params.weight`` scales it.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmf.common.registry import registry
from torch import nn

from clipbert_mmf.scoring import objectives


def _register(name: str, objective, scores: str = "scores", targets: str = "targets") -> None:
    """Register a loss that reads ``scores`` from the output and ``targets`` from the output or the batch."""

    class Loss(nn.Module):
        def __init__(self, datasets: Sequence[str] | None = None, weight: float = 1.0):
            super().__init__()
            # MMF's loss wrapper heeds a plain list only.
            self.datasets = None if datasets is None else list(datasets)
            self.weight = float(weight)

        def forward(self, sample_list, model_output):
            right = model_output[targets] if targets in model_output else getattr(sample_list, targets)
            return self.weight * objective(model_output[scores], right)

    Loss.__name__ = Loss.__qualname__ = "".join(word.title() for word in name.split("_")) + "Loss"
    Loss.__doc__ = objective.__doc__
    registry.register_loss(name)(Loss)


_register("clipbert_match", objectives.match_loss)
_register("clipbert_itm", objectives.match_loss)
_register("clipbert_mlm", objectives.masked_word_loss, scores="mlm_scores", targets="mlm_targets")
_register("clipbert_answer_ce", objectives.answer_loss)
_register("clipbert_choice_ce", objectives.choice_loss)
_register("clipbert_soft_bce", objectives.soft_answer_loss)
_register("clipbert_count_loss", objectives.count_loss)
