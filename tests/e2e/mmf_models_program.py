"""Builds MMF's own visual_bert and mmbt at tiny size and runs a training step of each; prints their names.

Then their checkpoints start the transformer of a ClipBERT.
"""

import sys
from pathlib import Path

import mmf  # noqa: F401
import torch
from mmf.common.registry import registry
from mmf.common.sample import SampleList
from mmf.utils.build import build_model
from mmf.utils.configuration import Configuration, load_yaml
from mmf.utils.env import setup_imports
from omegaconf import OmegaConf
from transformers import BertConfig, BertModel, BertTokenizerFast

import clipbert_mmf  # noqa: F401
from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.loading import load_weights
from tests.network_settings import small_config

setup_imports()
folder = Path(sys.argv[1])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
(folder / "vocab.txt").write_text("\n".join(words))
BertTokenizerFast.from_pretrained(str(folder)).save_pretrained(folder)
SIZES = {
    "vocab_size": len(words),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
bert = BertConfig(max_position_embeddings=512, **SIZES)
BertModel(bert).save_pretrained(folder)

config = Configuration().get_config()
registry.register("config", config)
registry.register("writer", registry.get("writer", no_warning=True) or type("W", (), {"write": print})())


def make_batch() -> SampleList:
    batch = SampleList()
    batch.dataset_name, batch.dataset_type = "toy", "train"
    batch.add_field("input_ids", torch.randint(5, 30, (2, 9)))
    batch.add_field("input_mask", torch.ones(2, 9, dtype=torch.int64))
    batch.add_field("segment_ids", torch.zeros(2, 9, dtype=torch.int64))
    batch.add_field("image", torch.randn(2, 3, 64, 64))
    batch.add_field("image_feature_0", torch.randn(2, 4, 16))
    batch.image_info_0 = SampleList()
    batch.image_info_0.max_features = torch.tensor([4, 3])
    batch.add_field("targets", torch.tensor([0, 1]))
    return batch


def step(name: str, **changes) -> None:
    model_config = load_yaml(registry.get_model_class(name).config_path()).model_config[name]
    model_config = OmegaConf.merge(
        model_config, {"model": name, "num_labels": 2, "losses": [{"type": "cross_entropy"}], **changes}
    )
    registry.register("toy_num_final_outputs", 2)
    model = build_model(model_config)
    output = model(make_batch())
    sum(loss.mean() for loss in output["losses"].values()).backward()
    assert output["scores"].shape == (2, 2) and any(p.grad is not None for p in model.parameters())
    print("ran", name)
    start_clipbert(name, model.state_dict())


def start_clipbert(name: str, state: dict) -> None:
    checkpoint = {"model": state, "num_updates": 1, "config": OmegaConf.to_container(config)}
    torch.save(checkpoint, folder / f"{name}.ckpt")
    network = build_network(
        small_config(
            transformer__hidden_size=24,
            transformer__num_layers=2,
            transformer__num_heads=2,
            transformer__max_positions=512,
            transformer__intermediate_size=32,
            transformer__vocab_size=len(words),
        )
    )
    report = load_weights(network, folder / f"{name}.ckpt", "transformer")
    assert not (report.missing or report.resized or report.wrong_shape), report
    print("started from", name)


step(
    "visual_bert",
    bert_model_name=str(folder),
    visual_embedding_dim=16,
    training_head_type="classification",
    **SIZES,
)
step(
    "mmbt",
    bert_model_name=str(folder),
    modal_hidden_size=2048,
    training_head_type="classification",
    text_encoder={
        "type": "transformer",
        "params": {"bert_model_name": str(folder), **SIZES, "num_segments": 2},
    },
    modal_encoder={
        "type": "resnet152",
        "params": {"pretrained": False, "pool_type": "avg", "num_output_features": 1},
    },
    **SIZES,
)
