"""Files of others fill our network.

Each format with its real names, what did not fit reported, misfits refused.
"""

import argparse
import json
import pickle
import re

import pytest
import torch
import torchvision
from transformers import BertConfig, BertForPreTraining, BertModel

from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.weights.files import WeightsFileError
from clipbert_mmf.weights.loading import load_weights
from clipbert_mmf.weights.report import write_reports
from tests.network_settings import small_config, small_settings


def make_network(depth="resnet18", **changes):
    settings = small_settings(backbone__depth=depth, backbone__width=64, **changes)
    if depth == "resnet18":
        settings["backbone"]["stride_in_1x1"] = False
    return build_network(parse_model_config(settings))


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    for name, value in model.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return model.state_dict()


def to_detectron2(name: str) -> str:
    name = re.sub(r"^(conv1|bn1)\.", r"stem.\1.", name)
    name = re.sub(r"layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    return re.sub(r"bn(\d)", r"conv\1.norm", name)


def to_mmaction2(name: str) -> str:
    name = name.replace("downsample.0", "downsample.conv").replace("downsample.1", "downsample.bn")
    return "backbone." + re.sub(r"bn(\d)", r"conv\1.bn", re.sub(r"conv(\d)", r"conv\1.conv", name))


def assert_is(network, resnet) -> None:
    state = network.state_dict()
    for own, name in {
        "backbone.stem.conv.weight": "conv1.weight",
        "backbone.stem.norm.running_var": "bn1.running_var",
        "backbone.stages.res2.1.path.0.conv.weight": "layer1.1.conv1.weight",
        "backbone.stages.res4.0.shortcut.conv.weight": "layer3.0.downsample.0.weight",
        "backbone.stages.res4.0.shortcut.norm.running_mean": "layer3.0.downsample.1.running_mean",
        "backbone.stages.res5.1.path.1.norm.bias": "layer4.1.bn2.bias",
    }.items():
        assert torch.equal(state[own], resnet[name]), own


def test_torchvisions_resnet(resnet, tmp_path):
    torch.save(resnet, tmp_path / "a.pth")
    network = make_network()
    before = network.encoder.layers[0].query.weight.clone()
    report = load_weights(network, tmp_path / "a.pth", "backbone", strict=True)
    assert_is(network, resnet)
    assert torch.equal(network.encoder.layers[0].query.weight, before)
    assert report.unused["fc.weight"] == "ImageNet's classifier" and report.unused["bn1.num_batches_tracked"]


def test_detectron2s_and_grid_feats_resnet(resnet, tmp_path):
    state = {
        f"backbone.{to_detectron2(name)}": value
        for name, value in resnet.items()
        if "num_batches" not in name
    }
    state["roi_heads.box_predictor.cls_score.weight"] = torch.zeros(2)
    arrays = {name: value.numpy() for name, value in state.items() if not name.startswith("backbone.fc")}
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps({"model": arrays, "__author__": "grid-feats", "iteration": 9})
    )
    network = make_network()
    report = load_weights(network, tmp_path / "a.pkl", "backbone", strict=True)
    assert_is(network, resnet)
    assert report.notes["__author__"] == "grid-feats"
    assert report.unused == {"roi_heads.box_predictor.cls_score.weight": "parts of the object detector"}


def test_mmaction2s_tsn(resnet, tmp_path):
    state = {to_mmaction2(name): value for name, value in resnet.items() if not name.startswith("fc")}
    state["cls_head.fc_cls.weight"] = torch.zeros(2)
    torch.save({"meta": {"mmaction_version": "0.24"}, "state_dict": state}, tmp_path / "tsn.pth")
    network = make_network()
    report = load_weights(network, tmp_path / "tsn.pth", "backbone", strict=True)
    assert_is(network, resnet)
    assert report.format == "mmaction2's TSN" and report.notes == {"meta.mmaction_version": "0.24"}


def test_msras_resnet_50_from_caffe2_has_no_statistics(tmp_path):
    blobs, channels = {}, 8

    def add(name, out, into, size, bn):
        blobs[f"{name}_w"] = torch.full((out, into, size, size), len(blobs) / 100).numpy()
        blobs[f"{bn}_s"] = torch.full((out,), len(blobs) / 100).numpy()
        blobs[f"{bn}_b"] = torch.full((out,), len(blobs) / 100).numpy()

    add("conv1", 8, 3, 7, "res_conv1_bn")
    for stage, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            place, middle = f"res{stage + 2}_{block}_branch", 8 * 2**stage
            for branch, out, into, size in (
                ("1", 4 * middle, channels, 1),
                ("2a", middle, channels, 1),
                ("2b", middle, middle, 3),
                ("2c", 4 * middle, middle, 1),
            ):
                if branch != "1" or block == 0:
                    add(f"{place}{branch}", out, into, size, f"{place}{branch}_bn")
            channels = 4 * middle
    blobs["fc1000_w"] = torch.zeros(3).numpy()
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    network = build_network(small_config(backbone__width=8))
    with torch.no_grad():
        network.backbone.stem.norm.running_var.fill_(7)
    load_weights(network, tmp_path / "R-50.pkl", "backbone", strict=True)
    state = network.state_dict()
    assert (state["backbone.stem.norm.running_var"] == 1).all() and (
        state["backbone.stem.norm.running_mean"] == 0
    ).all()
    name = "res4_0_branch1_bn_b"
    assert torch.equal(state["backbone.stages.res4.0.shortcut.norm.bias"], torch.from_numpy(blobs[name]))
    assert torch.equal(
        state["backbone.stages.res5.2.path.1.conv.weight"], torch.from_numpy(blobs["res5_2_branch2b_w"])
    )


def test_a_backbone_that_strides_elsewhere_is_refused_with_the_key_to_set(tmp_path):
    with torch.device("meta"):
        network = make_network("resnet50")
    torch.save({"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsFileError, match="set model_config.clipbert.backbone.stride_in_1x1=false"):
        load_weights(network, tmp_path / "a.pth", "backbone")


def test_batch_statistics_do_not_go_into_other_norms_and_rgb_is_told(resnet, tmp_path, caplog):
    torch.save(resnet, tmp_path / "a.pth")
    with pytest.raises(
        WeightsFileError, match="set model_config.clipbert.backbone.norm to frozen_batch or batch"
    ):
        load_weights(make_network(backbone__norm="group"), tmp_path / "a.pth", "backbone")
    with torch.device("meta"):
        network = make_network("resnet50", backbone__stride_in_1x1=False)
    with pytest.raises(WeightsFileError, match="has nothing for this network"):
        torch.save(
            {"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "b.pth"
        )
        load_weights(network, tmp_path / "b.pth", "backbone")
    assert "backbone.bgr=false" in caplog.text


def bert_config(**changes):
    sizes = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 24,
    }
    return BertConfig(**{**sizes, **changes})


@pytest.mark.parametrize("safe", [True, False])
def test_a_hugging_face_bert_folder(safe, tmp_path):
    reference = BertModel(bert_config()).eval()
    reference.save_pretrained(tmp_path, safe_serialization=safe)
    if not (tmp_path / "pytorch_model.bin").exists() and not safe:
        torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink(missing_ok=True)
    network = build_network(small_config()).eval()
    report = load_weights(network, tmp_path, "transformer", strict=True)
    assert report.format == "a BERT or RoBERTa"
    ids = torch.arange(8).view(2, 4)
    with torch.no_grad():
        text = network.text_embedding(ids, torch.zeros_like(ids))
        pooled = network.encoder(text, torch.ones(2, 4), torch.zeros(2, 0, 16))[1]
        torch.testing.assert_close(pooled, reference(ids).pooler_output, rtol=1e-5, atol=1e-5)


def test_a_bert_with_its_heads_also_fills_the_masked_word_head(tmp_path):
    reference = BertForPreTraining(bert_config())
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma"): v for name, v in reference.state_dict().items()
    }
    torch.save(state, tmp_path / "bert.bin")
    network = build_network(small_config(head={"type": "pretrain"}))
    report = load_weights(network, tmp_path / "bert.bin", "transformer", strict=True)
    assert torch.equal(network.head.transform.weight, reference.cls.predictions.transform.dense.weight)
    assert torch.equal(network.head.decoder.bias, reference.cls.predictions.bias)
    assert network.head.decoder.weight is network.text_embedding.words.weight
    assert report.is_complete


def test_mmfs_own_bert_models_give_their_transformer(tmp_path):
    state = {f"model.bert.{name}": value for name, value in BertModel(bert_config()).state_dict().items()}
    torch.save({"model": {**state, "model.classifier.weight": torch.zeros(2)}}, tmp_path / "visual_bert.pth")
    report = load_weights(build_network(small_config()), tmp_path / "visual_bert.pth", "transformer")
    assert report.left_over == ["model.classifier.weight"] and not report.missing


@pytest.mark.parametrize("model", ["unimodal_text", "mmbt", "vilbert"])
def test_the_places_where_mmfs_models_keep_their_bert(model, tmp_path):
    reference = BertModel(bert_config()).state_dict()
    state = {}
    if model == "unimodal_text":  # registers the embeddings a second time beside the whole
        state.update({f"base.encoder.module.{name}": value for name, value in reference.items()})
        state.update(
            {f"base.encoder.{name}": v for name, v in reference.items() if name.startswith("embeddings.")}
        )
    elif model == "mmbt":
        state.update({f"model.bert.mmbt.transformer.{name}": value for name, value in reference.items()})
        state["model.bert.mmbt.modal_encoder.word_embeddings.weight"] = reference[
            "embeddings.word_embeddings.weight"
        ]
    else:
        state.update(
            {f"model.bert.{name}": v for name, v in reference.items() if not name.startswith("pooler")}
        )
        state["model.bert.v_embeddings.image_embeddings.weight"] = torch.zeros(2, 2)
        state["model.bert.encoder.v_layer.0.output.dense.weight"] = torch.zeros(2, 2)
    torch.save({"model": state}, tmp_path / "a.ckpt")
    network = build_network(small_config())
    report = load_weights(network, tmp_path / "a.ckpt", "transformer")
    assert torch.equal(
        network.encoder.layers[1].output.weight, reference["encoder.layer.1.output.dense.weight"]
    )
    assert torch.equal(network.text_embedding.words.weight, reference["embeddings.word_embeddings.weight"])
    assert report.missing == (["encoder.pooler.weight", "encoder.pooler.bias"] if model == "vilbert" else [])


def test_checkpoints_that_hold_objects_of_other_programs_are_refused_with_the_way_out(tmp_path):
    torch.save({"model": {"a": torch.zeros(1)}, "config": argparse.Namespace(a=1)}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsFileError, match="asks for argparse.* save its state dict alone"):
        load_weights(build_network(small_config()), tmp_path / "a.ckpt", "transformer")


@pytest.mark.parametrize(
    "file_words, used", [(1000, 1000), (1008, 1000), (995, 995), (1100, None), (900, None)]
)
def test_a_vocabulary_that_differs_at_its_end_gives_its_first_rows_another_none(
    file_words, used, tmp_path, caplog
):
    reference = BertForPreTraining(bert_config(vocab_size=file_words))
    torch.save(reference.state_dict(), tmp_path / "bert.bin")
    network = build_network(small_config(transformer__vocab_size=1000, head={"type": "pretrain"}))
    before = network.text_embedding.words.weight.detach().clone()
    report = load_weights(network, tmp_path / "bert.bin", "transformer")
    words, given = network.text_embedding.words.weight, reference.bert.embeddings.word_embeddings.weight
    rows = used or 0
    assert torch.equal(words[:rows], given[:rows]) and torch.equal(words[rows:], before[rows:])
    tables = ["head.decoder.bias", "head.decoder.weight", "text_embedding.words.weight"]
    assert sorted(report.resized) == (tables if used and file_words != 1000 else [])
    assert sorted(report.wrong_shape) == ([] if used else tables)
    hint = f"set model_config.clipbert.transformer.vocab_size={file_words}"
    assert (hint in caplog.text) == (used is None)


def test_tables_of_places_give_their_first_rows_and_vocabularies_must_agree(tmp_path):
    reference = BertModel(bert_config(max_position_embeddings=10, vocab_size=60))
    torch.save(reference.state_dict(), tmp_path / "bert.bin")
    network = build_network(small_config())
    tail = network.text_embedding.positions.weight[10:].clone()
    report = load_weights(network, tmp_path / "bert.bin", "transformer")
    assert report.resized == {"text_embedding.positions.weight": ((10, 16), (24, 16))}
    assert report.wrong_shape == {"text_embedding.words.weight": ((60, 16), (50, 16))}
    positions = network.text_embedding.positions.weight
    assert torch.equal(positions[:10], reference.embeddings.position_embeddings.weight)
    assert torch.equal(positions[10:], tail)
    with pytest.raises(WeightsFileError, match="is not complete, as weights.strict asks"):
        load_weights(network, tmp_path / "bert.bin", "transformer", strict=True)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_attention_heads": 2}, "num_attention_heads is 2, expected 4"),
        (
            {"hidden_size": 32},
            "hidden_size is 32, expected 16: set model_config.clipbert.transformer to the sizes",
        ),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new', expected 'gelu'"),
    ],
)
def test_a_bert_that_computes_something_else_is_refused(changes, message, tmp_path):
    BertModel(bert_config(**changes)).save_pretrained(tmp_path)
    with pytest.raises(WeightsFileError, match=message):
        load_weights(build_network(small_config()), tmp_path, "transformer")


def test_our_checkpoints_start_another_task_with_a_new_head(tmp_path, caplog):
    caplog.set_level("INFO")
    before = build_network(small_config(head={"type": "pretrain"}))
    state = {f"network.{name}": value for name, value in before.state_dict().items()}
    torch.save({"model": state, "best_update": 3, "optimizer": {"state": {}}}, tmp_path / "a.ckpt")
    after = build_network(small_config())
    report = load_weights(after, tmp_path / "a.ckpt")
    assert torch.equal(after.encoder.layers[1].output.weight, before.encoder.layers[1].output.weight)
    assert torch.equal(after.visual_embedding.rows.weight, before.visual_embedding.rows.weight)
    assert all(name.startswith("head.") for name in report.missing) and len(report.missing) == 4
    assert "weights.clipbert from" in caplog.text and "missing, now random" in caplog.text
    write_reports([report], tmp_path / "run" / "weights_report.json")
    assert json.loads((tmp_path / "run" / "weights_report.json").read_text())[0]["notes"] == {
        "best_update": "3"
    }


def test_heads_of_another_size_are_reported_and_stay_random(tmp_path):
    torch.save(build_network(small_config()).state_dict(), tmp_path / "a.pth")
    report = load_weights(build_network(small_config(head={"type": "choose"})), tmp_path / "a.pth")
    assert report.wrong_shape == {"head.output.weight": ((2, 32), (1, 32)), "head.output.bias": ((2,), (1,))}


def test_files_in_the_wrong_place_and_of_no_known_kind_are_named(resnet, tmp_path):
    torch.save(resnet, tmp_path / "resnet.pth")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    network = make_network()
    with pytest.raises(
        WeightsFileError, match="is torchvision's ResNet; it belongs in .*weights.backbone, not in .clipbert"
    ):
        load_weights(network, tmp_path / "resnet.pth")
    with pytest.raises(
        WeightsFileError, match=r"no known format, such as \['other'\]; known are our own checkpoint"
    ):
        load_weights(network, tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError, match="weights.backbone is '.*none.pth': no such file"):
        load_weights(network, tmp_path / "none.pth", "backbone")
