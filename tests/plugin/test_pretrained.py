"""MMF's own ``Model.from_pretrained`` loads a run's folder, each of its checkpoints, or an entry of the model zoo."""

import json

import pytest

pytest.importorskip("mmf")

import torch
from mmf.common.registry import registry
from mmf.common.sample import SampleList
from omegaconf import OmegaConf

from clipbert_mmf.inference.settings import RecipeError
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.plugin.model import ClipBertModel
from clipbert_mmf.weights.files import WeightsFileError
from tests.network_settings import small_settings

#: Type of a head -> its number of outputs.
HEADS = {"match": 1, "classify": 7, "choose": 1, "choose_by_match": 2, "regress": 1, "pretrain": 2}


def make_settings(**head):
    settings = small_settings(backbone__depth="resnet18", backbone__norm="group", backbone__out_stage="res4")
    # A run that counted its answers leaves them empty, and the file it started from may be gone.
    return {**settings, "weights": {"clipbert": "/gone/clipbert_final.pth"}, **head}


def write_run(folder, settings, sizes):
    """Write the folder of a finished run; return its network."""
    torch.manual_seed(3)
    names = settings.get("heads") or {}
    heads = {name: {**names[name], "num_answers": size} for name, size in zip(names, sizes, strict=False)}
    head = {**settings["head"], "num_answers": None if heads else sizes[0]}
    network = build_network(parse_model_config({**settings, "head": head, "heads": heads}))
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    config = {"model": "clipbert", "datasets": "toy", "model_config": {"clipbert": settings}}
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    for name in ("best.ckpt", "current.ckpt"):
        torch.save({"model": weights, "config": config, "num_updates": 2}, folder / name)
    torch.save(weights, folder / "clipbert_final.pth")
    return network


def make_batch(dataset="toy"):
    batch = SampleList()
    batch.frames = torch.arange(2 * 2 * 3 * 64 * 64).remainder(251).to(torch.uint8).view(2, 2, 1, 3, 64, 64)
    batch.input_ids = torch.arange(2 * 3 * 6).remainder(50).view(2, 3, 6)
    batch.input_mask = torch.ones_like(batch.input_ids)
    batch.segment_ids = torch.zeros_like(batch.input_ids)
    batch.add_field("dataset_name", dataset)
    batch.add_field("dataset_type", "test")
    return batch


def score(network, batch, dataset):
    texts = (batch.input_ids, batch.input_mask, batch.segment_ids)
    with torch.no_grad():
        return network.eval()(batch.frames, *texts, dataset=dataset)["scores"]


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_is_loaded_from_the_folder_and_from_each_file(tmp_path, kind):
    network = write_run(
        tmp_path, make_settings(head={"type": kind}), [HEADS[kind] if kind == "classify" else None]
    )
    batch = make_batch()
    expected = score(network, batch, "toy")
    for name in ("", "best.ckpt", "current.ckpt", "clipbert_final.pth"):
        model = registry.get_model_class("clipbert").from_pretrained(str(tmp_path / name))
        assert isinstance(model, ClipBertModel) and not model.training and model.is_pretrained
        with torch.no_grad():
            output = model(batch)
        assert torch.equal(output["scores"], expected) and "losses" not in output
    assert model.settings.head.num_answers == (7 if kind == "classify" else None)


def test_a_model_of_several_heads_is_loaded_whole(tmp_path):
    heads = {"first": {"type": "classify"}, "second": {"type": "match"}, "third": {"type": "classify"}}
    network = write_run(tmp_path, make_settings(heads=heads), [7, None, 4])
    model = ClipBertModel.from_pretrained(tmp_path)
    for name in heads:
        batch = make_batch(name)
        with torch.no_grad():
            assert torch.equal(model(batch)["scores"], score(network, batch, name))


def test_loading_leaves_the_run_of_this_process_alone(tmp_path):
    write_run(tmp_path, make_settings(head={"type": "match"}), [None])
    before = registry.get("config", None, no_warning=True)
    ClipBertModel.from_pretrained(tmp_path)
    assert registry.get("config", None, no_warning=True) is before


@pytest.mark.parametrize("name", ["gone/best.ckpt", "best.ckpt", "vqa2.mine"])
def test_what_is_neither_a_path_nor_a_key_of_the_zoo_is_named(name):
    with pytest.raises(
        FileNotFoundError, match=f"model '{name}': no such file or folder. Give the folder of a run"
    ):
        ClipBertModel.from_pretrained(name)


def test_weights_of_another_network_are_an_error(tmp_path):
    settings = make_settings(head={"type": "match"})
    write_run(tmp_path, settings, [None])
    for name in ("best.ckpt", "current.ckpt"):
        (tmp_path / name).unlink()
    deeper = {**settings, "transformer": {**settings["transformer"], "num_layers": 5}}
    config = {"model": "clipbert", "datasets": "toy", "model_config": {"clipbert": deeper}}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    with pytest.raises(WeightsFileError, match="is not of the network that its configuration describes"):
        ClipBertModel.from_pretrained(tmp_path)
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(RecipeError, match="holds weights alone and no config.yaml lies beside it"):
        ClipBertModel.from_pretrained(tmp_path / "clipbert_final.pth")


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo of one entry, whose two files lie on this machine; return the network."""
    network = write_run(tmp_path / "run", make_settings(head={"type": "classify"}), [7])
    resources = "".join(
        f"    - url: file://{tmp_path / 'run' / name}\n      file_name: {name}\n      compressed: false\n"
        for name in ("clipbert_final.pth", "config.yaml")
    )
    file = tmp_path / "zoo.yaml"
    file.write_text(f"clipbert:\n  mine:\n    version: '1'\n    resources:\n{resources}")
    before = registry.get("config", None, no_warning=True)
    environment = {"env": {"model_zoo": str(file), "data_dir": str(tmp_path / "data"), "user_dir": ""}}
    registry.register("config", OmegaConf.create(environment))
    yield network
    registry.register("config", before)


def test_an_entry_of_the_zoo_is_fetched_and_loaded(zoo, tmp_path):
    model = ClipBertModel.from_pretrained("clipbert.mine")
    batch = make_batch()
    with torch.no_grad():
        assert torch.equal(model(batch)["scores"], score(zoo, batch, "toy"))
    built = json.loads((tmp_path / "data" / "models" / "clipbert.mine" / ".built.json").read_text())
    assert built["version"] == "1"
    (tmp_path / "run" / "clipbert_final.pth").unlink()  # not fetched again
    ClipBertModel.from_pretrained("clipbert.mine")


def test_a_key_that_the_zoo_does_not_have_is_named_with_those_it_has(zoo):
    with pytest.raises(
        ValueError, match=r"zoo.yaml has no 'clipbert.yours'; it has clipbert.mine. Another file is"
    ):
        ClipBertModel.from_pretrained("clipbert.yours")
