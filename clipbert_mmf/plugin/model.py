"""``model=clipbert``: reads MMF's configuration, builds the network, and passes batches through it."""

from __future__ import annotations

from pathlib import Path

import torch
from mmf.common.registry import registry
from mmf.models.base_model import BaseModel
from omegaconf import OmegaConf

from clipbert_mmf.models.build import assemble_network, freeze_parts
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.heads import HEADS, list_heads
from clipbert_mmf.optim.param_groups import make_param_groups
from clipbert_mmf.paths import config_dir
from clipbert_mmf.plugin.joint_losses import JointLosses
from clipbert_mmf.settings import read_setting
from clipbert_mmf.weights.loading import load_weights
from clipbert_mmf.weights.report import LoadReport, write_reports


@registry.register_model("clipbert")
class ClipBert(BaseModel):
    """ClipBERT for every task; the head of the configuration, or of the batch's dataset, decides which."""

    def __init__(self, config):
        super().__init__(config)

    @classmethod
    def config_path(cls) -> str:
        """Absolute path of the paper's model."""
        return str(config_dir() / "models" / "clipbert" / "defaults.yaml")

    def build(self) -> None:
        """Build the network from the configuration, load weights, freeze what shall not train."""
        settings = OmegaConf.to_container(self.config, resolve=True)
        self._complete_heads(settings)
        self.network = assemble_network(settings)
        weights = settings["weights"]
        self.load_reports = [
            load_weights(self.network, weights[part], part, bool(weights["strict"]))
            for part in ("backbone", "transformer", "clipbert")
            if weights.get(part)
        ]
        self._save_reports(self.load_reports)
        freeze_parts(self.network, **settings["freeze"])

    def _complete_heads(self, settings: dict) -> None:
        """Fill in the number of answers where a classifying head leaves it to the data; check that datasets have heads."""
        datasets = read_setting(registry.get("config", None, no_warning=True), "datasets") or []
        datasets = (
            [name.strip() for name in datasets.split(",")] if isinstance(datasets, str) else list(datasets)
        )
        heads = settings.get("heads") or {}
        self.has_several_heads = bool(heads)
        without = [name for name in datasets if heads and name not in heads]
        if without:
            raise ValueError(f"model_config.clipbert.heads has no head for {without}; it has {sorted(heads)}")
        of_datasets = [(head, [name]) for name, head in heads.items()] or [(settings["head"], datasets)]
        for head, names in of_datasets:
            kind = HEADS.get(head.get("type", ""))
            if kind is not None and kind.num_outputs is None and not head.get("num_answers"):
                head["num_answers"] = self._count_answers(names)

    def network_for(self, dataset: str) -> ClipBertNetwork:
        """Return the network that scores the pairs of a dataset."""
        return self.network.for_dataset(dataset) if self.has_several_heads else self.network

    def init_losses(self) -> None:
        """As MMF, with the contrastive loss where ``contrastive.weight`` asks for it."""
        super().init_losses()
        if self.network.contrastive is None:
            return
        weight = float(self.config.contrastive.weight)
        heads = read_setting(self.config, "heads") or {"": self.config.head}
        types = sorted({heads[name].type for name in heads})
        if not any("score" in HEADS[name].asks for name in types):
            raise ValueError(
                f"model_config.clipbert.contrastive.weight is {weight:g} with head.type {types}, whose texts neither match "
                f"nor not; it goes with {', '.join(list_heads('score'))}"
            )
        self.losses = JointLosses(self.losses, weight)

    @staticmethod
    def _count_answers(datasets: list[str]) -> int | None:
        """Return the size of the answer vocabulary that the datasets told MMF, or None."""
        sizes = {name: registry.get(f"{name}_num_final_outputs", None, no_warning=True) for name in datasets}
        sizes = {name: size for name, size in sizes.items() if size}
        if len(set(sizes.values())) > 1:
            raise ValueError(
                f"the datasets have answer vocabularies of different sizes, {sizes}: give each its own head "
                f"(model_config.clipbert.heads), or all one vocabulary (dataset_config.<dataset>.answers.file) and set "
                f"model_config.clipbert.head.num_answers"
            )
        return next(iter(sizes.values()), None)

    @staticmethod
    def _save_reports(reports: list[LoadReport]) -> None:
        # Without a run (a tool, a test) there is no folder to save in.
        config = registry.get("config", None, no_warning=True)
        save_dir = OmegaConf.select(config, "env.save_dir") if config is not None else None
        distributed = torch.distributed
        is_first = (
            not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
        )
        if reports and save_dir and is_first:
            write_reports(reports, Path(save_dir) / "weights_report.json")

    def get_optimizer_parameters(self, config):
        """Return parameter groups: no weight decay on biases and norms, a learning rate for each part."""
        return make_param_groups(
            self.network,
            base_lr=config.optimizer.params.lr,
            weight_decay=read_setting(config.optimizer.params, "weight_decay", 0.0),
            factors={
                key: self.config.learning_rate_factors[key] for key in self.config.learning_rate_factors
            },
        )

    def forward(self, sample_list) -> dict[str, torch.Tensor]:
        """Return the network's output for a batch of ours, or of MMF's own image-and-text datasets.

        See ``ClipBertNetwork.forward``. MMF's batch has ``image`` (B, 3, H, W) and texts (B, L): a clip of one frame.
        """
        options = {"dataset": sample_list.dataset_name} if self.has_several_heads else {}
        texts = [sample_list.input_ids, sample_list.input_mask, sample_list.segment_ids]
        if "frames" in sample_list:
            return self.network(
                sample_list.frames, *texts, getattr(sample_list, "lm_label_ids", None), **options
            )
        return self.network(
            self._take_image(sample_list.image), *(text[:, None] for text in texts), **options
        )

    def _take_image(self, image: torch.Tensor) -> torch.Tensor:
        """Return ``(B, 1, 1, 3, H, W)`` grey levels, 0 to 255."""
        if image.is_floating_point():
            section = read_setting(self.config, "image_normalization") or {}
            mean, std = read_setting(section, "mean"), read_setting(section, "std")
            if mean is None or std is None:
                raise ValueError(
                    "this dataset gives normalised images; set model_config.clipbert.image_normalization.mean and .std to "
                    "those of its image processor (R, G, B of 0 to 1), so that they can be undone"
                )
            mean, std = (image.new_tensor(list(values)).view(3, 1, 1) for values in (mean, std))
            image = ((image * std + mean) * 255).clamp(0, 255)
        return image[:, None, None]
