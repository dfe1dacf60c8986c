"""Losses registered with MMF: each unpacks a batch and calls ``scoring.objectives``.

In runs over several datasets ``params.datasets`` says whose batches a loss is for, and ``params.weight`` scales it.
"""

from __future__ import annotations

from typing import Sequence

from mmf.common.registry import registry
from torch import nn

from clipbert_mmf.scoring import objectives
from clipbert_mmf.scoring.contrastive import contrastive_loss


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


class JointLosses(nn.Module):
    """MMF's losses of a model, and beside them the contrastive loss where the model gave embeddings (in training).

    Args:
        losses: MMF's, by the list of the configuration.
        weight: of the contrastive loss.
    """

    def __init__(self, losses: nn.Module, weight: float):
        super().__init__()
        self.losses, self.weight = losses, weight

    def forward(self, sample_list, model_output):
        """Return losses by ``<split>/<dataset>/<name>``."""
        losses = self.losses(sample_list, model_output)
        if "text_embeddings" in model_output:
            loss = contrastive_loss(
                *(model_output[key] for key in ("text_embeddings", "video_embeddings", "contrastive_scale")),
                *(getattr(sample_list, key) for key in ("targets", "input_ids", "item_index", "media_index")),
            )
            key = f"{sample_list.dataset_type}/{sample_list.dataset_name}/clipbert_contrastive"
            losses[key] = (self.weight * loss).view(1)
        return losses


_register("clipbert_match", objectives.match_loss)
_register("clipbert_itm", objectives.match_loss)
_register("clipbert_mlm", objectives.masked_word_loss, scores="mlm_scores", targets="mlm_targets")
_register("clipbert_answer_ce", objectives.answer_loss)
_register("clipbert_choice_ce", objectives.choice_loss)
_register("clipbert_soft_bce", objectives.soft_answer_loss)
_register("clipbert_count_mse", objectives.count_loss)
