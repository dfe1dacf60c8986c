"""Register the losses of ``scoring.objectives`` with MMF, and add the contrastive loss to those of the configuration.

In runs over several datasets ``params.datasets`` names the datasets whose batches a loss is for;
``params.weight`` scales it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmf.common.registry import registry
from torch import Tensor, nn

from clipbert_mmf.configuration import ConfigurationError, choose
from clipbert_mmf.scoring import objectives
from clipbert_mmf.scoring.contrastive import contrastive_loss


@dataclass(frozen=True)
class Loss:
    """A registered loss.

    Attributes:
        objective: takes scores and targets, returns a scalar.
        scores: field of the model's output.
        targets: field of the model's output, or of the batch.
        chosen_targets: field of the model's output that goes before, where the model chose the pairs.
    """

    objective: Callable[[Tensor, Tensor], Tensor]
    scores: str = "scores"
    targets: str = "targets"
    chosen_targets: str = ""


#: Registered key -> loss.
LOSSES: dict[str, Loss] = {
    "clipbert_match": Loss(objectives.match_loss, chosen_targets="match_targets"),
    "clipbert_itm": Loss(objectives.match_loss, chosen_targets="match_targets"),
    "clipbert_rank": Loss(objectives.rank_loss, chosen_targets="match_targets"),
    "clipbert_mlm": Loss(objectives.masked_token_loss, scores="mlm_scores", targets="mlm_targets"),
    "clipbert_answer_ce": Loss(objectives.answer_loss),
    "clipbert_choice_ce": Loss(objectives.choice_loss),
    "clipbert_soft_bce": Loss(objectives.soft_answer_loss),
    "clipbert_count_loss": Loss(objectives.count_loss),
}


class ClipBertLoss(nn.Module):
    """Computes one loss of the table.

    Args:
        datasets: datasets whose batches it is for; None for all.
        weight: factor of the loss.
    """

    loss: Loss

    def __init__(self, datasets: Sequence[str] | None = None, weight: float = 1.0):
        super().__init__()
        # MMF's loss wrapper heeds a plain list only.
        self.datasets = None if datasets is None else list(datasets)
        self.weight = float(weight)

    def forward(self, sample_list: Mapping[str, Any], model_output: Mapping[str, Any]) -> Tensor:
        """Return a scalar from a batch and the model's output."""
        loss = self.loss
        if loss.chosen_targets in model_output:
            targets = model_output[loss.chosen_targets]
        else:
            targets = (model_output if loss.targets in model_output else sample_list)[loss.targets]
        return self.weight * loss.objective(model_output[loss.scores], targets)


#: Values of ``average`` of the masked-word loss, and whether padding and visible words count.
AVERAGES = {"hidden": False, "positions": True}


class MaskedWordLoss(ClipBertLoss):
    """Computes the loss of the hidden words.

    Args:
        datasets: datasets whose batches it is for; None for all.
        weight: factor of the loss.
        average: ``hidden`` for the mean over hidden words (the paper's); ``positions`` for the sum over
            hidden words divided by all positions of the texts, padding included, as the released code does.

    Raises:
        ConfigurationError: for another ``average``.
    """

    def __init__(self, datasets: Sequence[str] | None = None, weight: float = 1.0, average: str = "hidden"):
        super().__init__(datasets, weight)
        where = "model_config.clipbert.losses: params.average of clipbert_mlm"
        self.counts_all = choose(where, average, AVERAGES)

    def forward(self, sample_list: Mapping[str, Any], model_output: Mapping[str, Any]) -> Tensor:
        """Return a scalar from a batch and the model's output."""
        positions = sample_list["lm_label_ids"].numel() if self.counts_all else None
        return self.weight * objectives.masked_token_loss(
            model_output["mlm_scores"], model_output["mlm_targets"], positions
        )


class RankLoss(ClipBertLoss):
    """Computes the loss of each match among the negatives that the model chose from the batch."""

    def forward(self, sample_list: Mapping[str, Any], model_output: Mapping[str, Any]) -> Tensor:
        """Return a scalar from a batch and the model's output.

        Raises:
            ConfigurationError: in training, if the model chose no negatives.
        """
        is_training = "dataset_type" in sample_list and sample_list["dataset_type"] == "train"
        if is_training and self.loss.chosen_targets not in model_output:
            raise ConfigurationError(
                "model_config.clipbert.losses has clipbert_rank, which needs negatives that the model chooses from the "
                "batch; set model_config.clipbert.contrastive.weight=1 and .hard_negatives=2"
            )
        return super().forward(sample_list, model_output)


_CLASSES: dict[str, type[ClipBertLoss]] = {"clipbert_mlm": MaskedWordLoss, "clipbert_rank": RankLoss}
for _key, _loss in LOSSES.items():
    _title = "".join(word.title() for word in _key.split("_"))
    registry.register_loss(_key)(
        type(f"{_title}Loss", (_CLASSES.get(_key, ClipBertLoss),), {"loss": _loss, "__module__": __name__})
    )


class JointLosses(nn.Module):
    """Adds the contrastive loss to MMF's losses of a model, where the model returned embeddings (in training).

    Args:
        losses: MMF's losses of the configuration.
        weight: factor of the contrastive loss.
    """

    def __init__(self, losses: nn.Module, weight: float):
        super().__init__()
        self.losses, self.weight = losses, weight

    def forward(self, sample_list: Any, model_output: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return losses by ``<split>/<dataset>/<name>``."""
        losses = self.losses(sample_list, model_output)
        if "text_embeddings" in model_output:
            loss = contrastive_loss(
                text_embeddings=model_output["text_embeddings"],
                video_embeddings=model_output["video_embeddings"],
                scale=model_output["contrastive_scale"],
                **{key: sample_list[key] for key in ("targets", "input_ids", "item_index", "media_index")},
            )
            key = f"{sample_list.dataset_type}/{sample_list.dataset_name}/clipbert_contrastive"
            losses[key] = (self.weight * loss).view(1)
        return losses
