"""The model that MMF builds: configuration in, losses and parameter groups out, errors that name the key."""

import json

import pytest
import torch
from mmf.common.registry import registry
from mmf.common.sample import SampleList
from omegaconf import OmegaConf

import clipbert_mmf.plugin.losses  # noqa: F401  registers
from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.model import ClipBertModel
from tests.network_settings import small_settings


@pytest.fixture(autouse=True)
def run_folder(tmp_path):
    """Hold what a run leaves in the registry; the release's losses read it."""
    before = registry.get("config", None, no_warning=True)
    registry.register(
        "config",
        OmegaConf.create({"env": {"save_dir": str(tmp_path / "run")}, "evaluation": {"predict": False}}),
    )
    yield tmp_path / "run"
    registry.register("config", before)


def make_config(**changes):
    return OmegaConf.create(
        {
            **small_settings(
                backbone__depth="resnet18", backbone__norm="group", backbone__out_stage="res4", **changes
            ),
            "model": "clipbert",
        }
    )


def build(**changes) -> ClipBertModel:
    model = ClipBertModel(make_config(**changes))
    model.build()
    model.init_losses()
    return model


def make_batch() -> SampleList:
    batch = SampleList()
    batch.frames = torch.arange(2 * 2 * 3 * 64 * 64).remainder(256).to(torch.uint8).view(2, 2, 1, 3, 64, 64)
    batch.input_ids = torch.arange(2 * 3 * 6).remainder(50).view(2, 3, 6)
    batch.input_mask = torch.ones_like(batch.input_ids)
    batch.segment_ids = torch.zeros_like(batch.input_ids)
    batch.targets = torch.tensor([[1, 0, 0], [1, 0, 0]])
    batch.item_index = batch.media_index = torch.arange(2)
    batch.add_field("dataset_name", "toy")
    batch.add_field("dataset_type", "train")
    return batch


def test_it_is_registered_and_its_configuration_exists():
    assert registry.get_model_class("clipbert") is ClipBertModel
    config = OmegaConf.load(ClipBertModel.config_path())
    assert config.model_config.clipbert.transformer.num_layers == 12


def test_a_batch_gives_scores_and_the_configured_loss():
    model = build(losses=[{"type": "clipbert_match"}])
    output = model(make_batch())
    assert output["scores"].shape == (6, 2)
    ((name, loss),) = output["losses"].items()
    assert name == "train/toy/clipbert_match"
    loss.mean().backward()
    assert model.network.backbone.stages["res4"][0].shortcut.conv.weight.grad.abs().sum() > 0


def test_the_contrastive_loss_is_trained_beside_the_configured_ones_and_weighted():
    losses = {}
    for weight in (0.5, 1.0):
        torch.manual_seed(2)
        model = build(losses=[{"type": "clipbert_match"}], contrastive={"weight": weight, "size": 8})
        losses[weight] = model(make_batch())["losses"]
    assert set(losses[1.0]) == {"train/toy/clipbert_match", "train/toy/clipbert_contrastive"}
    torch.testing.assert_close(
        losses[1.0]["train/toy/clipbert_contrastive"], 2 * losses[0.5]["train/toy/clipbert_contrastive"]
    )
    sum(loss.mean() for loss in losses[1.0].values()).backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == [] and model.network.contrastive.log_scale.grad.abs() > 0
    model.eval()
    assert set(model(make_batch())["losses"]) == {"train/toy/clipbert_match"}


def test_parameter_groups_spare_biases_and_norms_and_scale_the_backbone():
    model = build(learning_rate_factors={"backbone": 0.1, "transformer": 1.0})
    config = OmegaConf.create({"optimizer": {"params": {"lr": 1e-3, "weight_decay": 0.01}}})
    groups = model.get_optimizer_parameters(config)
    assert {(round(group["lr"], 6), group["weight_decay"]) for group in groups} == {
        (1e-4, 0.01),
        (1e-4, 0.0),
        (1e-3, 0.01),
        (1e-3, 0.0),
    }
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(len(group["params"]) for group in groups) == len(trainable)
    assert all(p.dim() > 1 for group in groups if group["weight_decay"] for p in group["params"])


def test_frozen_parts_do_not_train_and_heads_do():
    model = build(freeze={"backbone": True, "transformer": True})
    rooms = {name.split(".")[1] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert rooms == {"grid_encoder", "head"}


def test_weights_of_a_run_start_the_next_and_the_report_is_saved(tmp_path, run_folder):
    first = build(head={"type": "pretrain"})
    assert not run_folder.exists()
    torch.save({"model": first.state_dict()}, tmp_path / "first.pth")
    second = build(weights={"clipbert": str(tmp_path / "first.pth"), "strict": False})
    assert torch.equal(
        second.network.encoder.layers[0].key.weight, first.network.encoder.layers[0].key.weight
    )
    (report,) = json.loads((run_folder / "weights_report.json").read_text())
    assert report["part"] == "clipbert" and all(name.startswith("head.") for name in report["missing"])


def test_numbers_start_around_the_mean_of_the_answers_with_their_spread():
    batch, scores = make_batch(), {}
    for name, head in {"plain": {}, "counts": {"mean": 4.0, "std": 2.0}}.items():
        torch.manual_seed(0)
        model = build(
            head={"type": "regress", **head}, losses=[{"type": "clipbert_count_loss"}], fold="mean"
        ).eval()
        scores[name] = model(batch)["scores"]
    torch.testing.assert_close(scores["counts"], 4.0 + 2.0 * scores["plain"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"colour": 1}, r"model_config\.clipbert\.colour is unknown; allowed are"),
        (
            {"backbone__dept": 1},
            r"model_config\.clipbert\.backbone\.dept is unknown \(did you mean 'depth'\?\)",
        ),
        (
            {"head": {"type": "guess"}},
            r"model_config\.clipbert\.head\.type is 'guess' .*; allowed are choose, choose_by_match, "
            r"classify",
        ),
        ({"head": {"type": "classify"}}, r"model_config\.clipbert\.head\.num_answers is empty"),
        (
            {"head": {"type": "regress", "std": 0.0}},
            r"model_config\.clipbert\.head\.std is 0\.0; expected more than 0",
        ),
        (
            {"head": {"type": "match", "mean": 3.0}},
            r"model_config\.clipbert\.head\.mean is 3\.0, and .*type 'match' does not read it; it goes with regress",
        ),
        ({"fold": "median"}, r"model_config\.clipbert\.fold is 'median'.*allowed are lse, max, mean, sum"),
        ({"clip_fusion": "late"}, r"model_config\.clipbert\.clip_fusion is 'late'; allowed are concat, fold"),
        (
            {"contrastive": {"weight": -1, "size": 8}},
            r"model_config\.clipbert\.contrastive\.weight is -1\.0; expected at least 0",
        ),
        (
            {"contrastive": {"weight": 1, "size": 8}, "head": {"type": "choose"}},
            r"weight is 1 with head\.type \['choose'\]",
        ),
        ({"temporal_fusion": "rnn"}, r"model_config\.clipbert\.temporal_fusion is 'rnn'; allowed are"),
        (
            {"transformer__num_heads": 5},
            r"model_config\.clipbert\.transformer: hidden_size 16 is not a multiple of num_heads 5",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_key(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        build(**changes)
