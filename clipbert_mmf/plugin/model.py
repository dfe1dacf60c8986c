"""Registers ``model=clipbert`` with MMF.

Reads its configuration, builds the network, and passes batches through it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmf.common.registry import registry
from mmf.models.base_model import BaseModel
from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError, to_plain
from clipbert_mmf.inference.sources import is_saved_folder
from clipbert_mmf.models.build import build_network, freeze_parts
from clipbert_mmf.models.config import SECTION, HeadConfig, ModelConfig, dump_model_config, parse_model_config
from clipbert_mmf.modules.heads import HEADS, list_heads
from clipbert_mmf.optim.param_groups import make_param_groups
from clipbert_mmf.paths import config_dir

# As modules: their import loads MMF, which imports this file before what they have is there.
from clipbert_mmf.plugin import losses as plugin_losses
from clipbert_mmf.plugin import pretrained as plugin_pretrained
from clipbert_mmf.plugin import trained_model
from clipbert_mmf.plugin.weight_fill import WeightFill
from clipbert_mmf.plugin.weight_source import read_description
from clipbert_mmf.weights.files import read_weights
from clipbert_mmf.weights.loading import find_weights, load_file
from clipbert_mmf.weights.report import LoadReport, write_reports
from clipbert_mmf.weights.trained_with import KEY as TRAINED_WITH
from clipbert_mmf.weights.trained_with import TrainedWith

logger = logging.getLogger(__name__)


@registry.register_model("clipbert")
class ClipBertModel(BaseModel):
    """ClipBERT for every task; the head of the configuration, or of the batch's dataset, decides the task."""

    @classmethod
    def config_path(cls) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]  # MMF calls it on the class
        """Return the absolute path of the paper's configuration."""
        return str(config_dir() / "models" / "clipbert" / "defaults.yaml")

    #: Where the weights of the run's model come from; None without a run, or for ``from_pretrained``.
    run_model: trained_model.RunModel | None = None
    fill: WeightFill | None = None

    @classmethod
    def from_pretrained(cls, model_name_or_path: str | Path, *args: Any, **kwargs: Any) -> ClipBertModel:
        """Return a trained model, for evaluation; its output has no losses.

        Args:
            model_name_or_path: the folder of a run, one of its checkpoints, a folder of ``save_pretrained``, or
                a key of the model zoo such as ``clipbert.msrvtt``.
            *args: unused, MMF's signature.
            **kwargs: unused, MMF's signature.

        Raises:
            FileNotFoundError: if there is no such model.
            ValueError: if it cannot be read, or is of another network than its configuration says.
        """
        settings, network = plugin_pretrained.load_pretrained(model_name_or_path)
        model = cls(OmegaConf.create({**dump_model_config(settings), "model": "clipbert"}))
        model.is_pretrained = True
        model.settings, model.network = settings, network
        model.eval()
        return model

    def build(self) -> None:
        """Build the network from the configuration, load weights, freeze the parts that do not train.

        Raises:
            ConfigurationError: in a run that does not train, if weights are missing or of another model.
        """
        run: Any = registry.get("config", None, no_warning=True)
        if run is not None and "run_type" in run:
            self.run_model = trained_model.find_run_model(run)
        settings = parse_model_config(to_plain(self.config))
        if self.run_model is not None:
            settings = self.run_model.bind_model(settings, list_datasets(run))
        self.settings = complete_heads(settings, list_datasets(run))
        self.network = build_network(self.settings)
        fill = self.fill = WeightFill(self.network, "network.", self.list_unused_heads(run))
        reports = self._load_weights(fill)
        # Without a run (in a tool or a test) there is no folder to save in.
        save_reports(reports, OmegaConf.select(run, "env.save_dir") if run is not None else None)
        freeze_parts(self.network, self.settings.freeze.backbone, self.settings.freeze.transformer)
        self._register_state_dict_hook(describe_state)

    def _load_weights(self, fill: WeightFill) -> list[LoadReport]:
        """Load the files that the run starts from."""
        weights, model = self.settings.weights, self.run_model
        parts = (
            ("backbone", weights.backbone),
            ("transformer", weights.transformer),
            ("clipbert", weights.clipbert),
        )
        given = [(part, location) for part, location in parts if location]
        if model is not None and model.resumes:
            if given:
                logger.info("%s holds all weights; weights.%s is not read", model.source, given[-1][0])
            return []
        reports: list[LoadReport] = []
        for part, location in given:
            place = find_weights(location, part)
            file = read_weights(place)
            if part == "clipbert":
                # A converted folder says it beside its weights.
                trained = read_description(place) if is_saved_folder(place) else file.trained_with
                file.tensors = self.fit_weights(file.tensors, trained, str(place))
            reports.append(load_file(self.network, file, part, weights.strict))
        for report in reports:
            fill.add_report(report)
        if model is not None and model.is_bound:
            fill.require_all(describe_source(model, given), reports)
        return reports

    def fit_weights(
        self, tensors: Mapping[str, torch.Tensor], trained: TrainedWith | None, source: str
    ) -> dict[str, torch.Tensor]:
        """Return the weights of a trained model for this one, where it begins anew; see ``RunModel.fit_weights``."""
        if self.run_model is None or self.run_model.is_bound:
            return dict(tensors)
        return self.run_model.fit_weights(tensors, self.network.state_dict(), trained, source)

    def list_unused_heads(self, run: Any) -> list[str]:
        """Return the heads that no dataset of the run asks."""
        heads, datasets = self.settings.heads, list_datasets(run)
        used = {heads[name].shares or name for name in datasets if name in heads}
        return [name for name in heads if used and name not in used]

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Load weights, as MMF does; where all of them must come from a file, missing and unknown ones are an error.

        Raises:
            ConfigurationError: names the first of them, and what to set.
        """
        model = self.run_model
        if self.fill is not None and model is not None and model.is_bound:
            state_dict = self.fill.match(state_dict, str(model.source))
        loaded = super().load_state_dict(state_dict, *args, **kwargs)
        if self.fill is not None:
            self.fill.add(state_dict)
        return loaded

    def train(self, mode: bool = True) -> ClipBertModel:
        """Switch to training or, where no part may be random, to evaluation.

        Raises:
            ConfigurationError: before an evaluation of weights that neither training nor a file has set.
        """
        model = self.run_model
        if self.fill is not None and mode:
            self.fill.has_trained = True
        elif (
            self.fill is not None
            and model is not None
            and not (model.allows_random or self.settings.weights.allow_random)
        ):
            self.fill.require_all(str(model.source or "no checkpoint"))
        return super().train(mode)

    def init_losses(self) -> None:
        """Make MMF's losses, and beside them the contrastive loss where ``contrastive.weight`` is above 0."""
        super().init_losses()
        if self.network.contrastive is not None:
            require_matching_texts(self.settings)
            self.losses = plugin_losses.JointLosses(self.losses, self.settings.contrastive.weight)

    def get_optimizer_parameters(self, config: Any) -> list[dict[str, Any]]:
        """Return parameter groups: no weight decay on biases and norms, a learning rate for each part."""
        params = to_plain(config.optimizer.params)
        return make_param_groups(
            self.network,
            base_lr=params["lr"],
            weight_decay=params.get("weight_decay", 0.0),
            factors=vars(self.settings.learning_rate_factors),
        )

    def forward(self, sample_list: Any) -> dict[str, torch.Tensor]:
        """Return the network's output for a batch of ours, or of MMF's own image-and-text datasets.

        See ``ClipBertNetwork.forward``. MMF's batch has ``image`` (B, 3, H, W) and texts (B, L): a clip of
        one frame.
        """
        dataset = getattr(sample_list, "dataset_name", None)
        texts = [sample_list.input_ids, sample_list.input_mask, sample_list.segment_ids]
        if "frames" in sample_list:
            labels = getattr(sample_list, "lm_label_ids", None)
            # A dataset of another package may lack these; hard negatives are chosen with them.
            targets, media = (getattr(sample_list, name, None) for name in ("targets", "media_index"))
            output = self.network(sample_list.frames, *texts, labels, dataset, targets, media)
            return mask_options(output, getattr(sample_list, "option_mask", None))
        normalization = self.settings.image_normalization
        frames = make_frames(sample_list.image, normalization.mean, normalization.std)
        return self.network(frames, *(text[:, None] for text in texts), dataset=dataset)


def describe_state(model: Any, state: Any, prefix: str, local: dict[str, Any]) -> None:
    """Keep beside a state dict what the model was trained with: it travels in every file that PyTorch writes of it."""
    source: trained_model.RunModel | None = model.run_model
    if source is not None:
        local[TRAINED_WITH] = source.describe(model.settings).to_dict()


def describe_source(model: trained_model.RunModel, given: list[tuple[str, str]]) -> str:
    """Return where the weights of a run that does not train come from, for messages."""
    if model.source is not None:
        return str(model.source)
    if given:
        return " and ".join(f"weights.{part}={location}" for part, location in given)
    return "no checkpoint"


def mask_options(
    output: dict[str, torch.Tensor], option_mask: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """Return a network's output in which what fills a question with few options never wins and is never trained on.

    Args:
        output: has ``scores`` ``(B, N)`` where options form a row.
        option_mask: ``(B, N)``, 1 on options; None where the batch has no options.
    """
    scores = output["scores"]
    if option_mask is None or scores.shape != option_mask.shape:
        return output
    # The lowest number and not minus infinity: scores are finite wherever they are checked.
    return {**output, "scores": scores.masked_fill(option_mask == 0, torch.finfo(scores.dtype).min)}


def list_datasets(run: Any) -> list[str]:
    """Return the datasets of a run's configuration; none without a run."""
    names = to_plain(run["datasets"]) if run is not None and "datasets" in run else None
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names or [])


def complete_heads(config: ModelConfig, datasets: list[str]) -> ModelConfig:
    """Fill in the number of answers where a head leaves it to the data.

    Raises:
        ConfigurationError: if a dataset has no head, or datasets with one head differ in their number of
            answers.
    """
    without = [name for name in datasets if config.heads and name not in config.heads]
    if without:
        raise ConfigurationError(f"{SECTION}.heads has no head for {without}; it has {sorted(config.heads)}")

    def complete(head: HeadConfig, names: list[str]) -> Any:
        is_open = HEADS[head.type].num_outputs is None and not head.num_answers
        return replace(head, num_answers=_count_answers(names)) if is_open else head

    heads = {name: complete(head, [name]) for name, head in config.heads.items()}
    return replace(config, heads=heads) if heads else replace(config, head=complete(config.head, datasets))


def _count_answers(datasets: list[str]) -> int | None:
    """Return the size of the answer vocabulary that the datasets told MMF, or None."""
    told: dict[str, Any] = {
        name: registry.get(f"{name}_num_final_outputs", None, no_warning=True) for name in datasets
    }
    sizes = {name: int(size) for name, size in told.items() if size}
    if len(set(sizes.values())) > 1:
        raise ConfigurationError(
            f"the datasets have answer vocabularies of different sizes, {sizes}: give each its own head "
            f"({SECTION}.heads), or all one vocabulary (dataset_config.<dataset>.answers.file) and set "
            f"{SECTION}.head.num_answers"
        )
    return next(iter(sizes.values()), None)


def require_matching_texts(config: ModelConfig) -> None:
    """Raise ``ConfigurationError`` if no head tells matching texts from others, which the contrastive loss needs."""
    types = sorted({head.type for head in config.heads.values()} or {config.head.type})
    if not any("score" in HEADS[name].asks for name in types):
        raise ConfigurationError(
            f"{SECTION}.contrastive.weight is {config.contrastive.weight:g} with head.type {types}, whose "
            f"texts neither "
            f"match a video nor not; it goes with {', '.join(list_heads('score'))}"
        )


def save_reports(reports: list[LoadReport], save_dir: str | None) -> None:
    """Write the reports of loaded weights into the run's folder, on rank 0."""
    distributed = torch.distributed
    is_first = (
        not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
    )
    if reports and save_dir and is_first:
        write_reports(reports, Path(save_dir) / "weights_report.json")


def make_frames(
    image: torch.Tensor, mean: tuple[float, float, float] | None, std: tuple[float, float, float] | None
) -> torch.Tensor:
    """Return frames ``(B, 1, 1, 3, H, W)`` in grey levels, 0 to 255, for images ``(B, 3, H, W)`` of MMF's datasets.

    Args:
        image: uint8, or float that was normalised.
        mean: what the image processor subtracted from R, G, B of 0 to 1.
        std: what the image processor divided by.

    Raises:
        ConfigurationError: if the image is float, and ``mean`` or ``std`` is None.
    """
    if image.is_floating_point():
        if mean is None or std is None:
            raise ConfigurationError(
                f"this dataset gives normalised images; set {SECTION}.image_normalization.mean and .std to "
                f"those of its "
                f"image processor (R, G, B of 0 to 1), so that they can be undone"
            )
        offset, scale = (image.new_tensor(values).view(3, 1, 1) for values in (mean, std))
        image = ((image * scale + offset) * 255).clamp(0, 255)
    return image[:, None, None]
