"""The contrastive loss beside those that MMF makes of the configuration.

Apart from ``losses``, which registers with MMF: registering imports the models, and these need this.
"""

from __future__ import annotations

from torch import nn

from clipbert_mmf.scoring.contrastive import contrastive_loss


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
