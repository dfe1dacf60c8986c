"""Every key of docs/configuration.md can be set on the command line, and arrives where it is read."""

import argparse
import dataclasses
import json
import re

import mmf  # noqa: F401
import pytest
import yaml
from mmf.common.registry import registry
from mmf.utils.configuration import Configuration
from omegaconf import OmegaConf

from clipbert_mmf.configuration import parse_config, to_plain
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.plugin.trainer_options import parse_run_options
from clipbert_mmf.tasks.dataset_config import parse_dataset_config
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.items import read_item_values
from tools.make_config_reference import list_parts, list_rows

MIXED = "msrvtt_retrieval,msrvtt_qa,msrvtt_mc"
#: Values of keys that are no number and no switch, or that others bind.
VALUES = {
    "backbone.type": "grid_resnet",
    "backbone.depth": "resnet101",
    "backbone.norm": "group",
    "backbone.width": 65,
    "backbone.freeze_at": 3,
    "backbone.stride_in_1x1": False,
    "backbone.frames_per_chunk": 3,
    "pairs_per_chunk": 65,
    "backbone.out_stage": "res4",
    "backbone.bgr": False,
    "backbone.pixel_mean": [1.0, 2.0, 3.0],
    "backbone.pixel_std": [4.0, 5.0, 6.0],
    "temporal_fusion": "conv3d",
    "transformer.hidden_size": 780,
    "transformer.num_heads": 13,
    "transformer.dropout": 0.3,
    "transformer.type": "roberta",
    "transformer.layer_norm_eps": 0.5,
    "head.type": "classify",
    "head.num_answers": 7,
    "head.mean": 2.5,
    "head.std": 1.5,
    "fold": "max",
    "clip_fusion": "concat",
    "image_normalization.mean": [0.1, 0.2, 0.3],
    "image_normalization.std": [0.4, 0.5, 0.6],
    "weights.clipbert": "a.pth",
    "weights.backbone": "b.pth",
    "weights.transformer": "c",
    "weights.strict": True,
    "losses": [{"type": "clipbert_answer_ce", "params": {"weight": 0.5}}],
    "heads": {"msrvtt_qa": {"type": "classify", "num_answers": 9}},
    "heads.<dataset>.type": "regress",
    "heads.<dataset>.num_answers": 8,
    "heads.<dataset>.mean": 2.5,
    "heads.<dataset>.std": 1.5,
    "heads.<dataset>.fold": "mean",
    "heads.<dataset>.shares": "msrvtt_retrieval",
    "data_dir": "/data/elsewhere",
    "media.train": ["a", "b"],
    "media.val": "c",
    "media.test": "d",
    "media": {"train": "e", "val": "f", "test": "g"},
    "answers": {"num_answers": 5, "min_count": 2},
    "texts_per_item": {"train": 2, "eval": 3},
    "layout": "mmf",
    "processors.text_processor.type": "clipbert_text",
    "processors.text_processor.params.tokenizer": "tokenizer",
    "processors.text_processor.params.cut": "end",
    "annotations.<split>[].file": "other.json",
    "annotations.<split>[].split": ["train", "val"],
    "annotations.<split>[].corpus": "msvd_qa",
    "annotations.<split>[].answers": "answers.json",
    "annotations.<split>[].mapping": "map.txt",
    "annotations.<split>[].only": "only.txt",
    "annotations.<split>[].exclude": "not.txt",
    "annotations.<split>[].share": [0.1, 0.6],
    "annotations.<split>[].share_without_split": [0.0, 0.5],
    "annotations.<split>[].num_texts": 6,
    "annotations.<split>[].columns": {"video": "clip"},
    "answers.file": "answers.json",
    "answers.num_answers": 11,
    "task": "open_ended",
    "processors": {"text_processor": {"params": {"max_length": 9}}},
    "file": "mine.csv",
    "columns": {"video": "clip"},
    "batch_size": 3,
    "num_workers": 2,
    "pin_memory": True,
    "persistent_workers": True,
    "shuffle": False,
    "zoo_requirements": ["msrvtt"],
    "tokenizer": "tokenizer",
    "cut": "end",
    "sampling": "uniform",
    "fps": 4.0,
    "clip_len_sec": 1.5,
    "window_sec": [1.0, 2.0],
    "backend": "pyav",
    "reader_timeout_sec": 9.0,
    "cache_dir": "/tmp/cache",
    "training.trainer": "clipbert",
    "training.wandb.enabled": False,
    "training.wandb.name": "mine",
    "training.wandb.log_checkpoint": False,
    "training.device": "cpu",
    "training.precision": "bf16",
    "training.max_updates": 77,
    "training.max_epochs": 3.0,
    "training.batch_size_per_device": 2,
    "training.early_stop.criteria": "msrvtt_qa/clipbert_answers/num_texts",
    "training.prefetch_factor": 3,
    "training.worker_start_method": "spawn",
    "training.sharding": "optimizer",
    "training.gradient_reduction": "bf16",
    "multitasking.type": "round_robin",
    "multitasking.params": {"start_idx": 1},
    "scheduler.type": "clipbert_warmup_cosine",
    "scheduler.params.warmup_fraction": 0.25,
    "checkpoint.zoo_config_override": False,
    "checkpoint.resume_file": "model_3.ckpt",
    "checkpoint.pretrained_state_mapping": {"network.backbone": "backbone"},
    "evaluation.score_store": "/tmp/scores",
    "evaluation.rerank_top_k": 12,
    "multitasking": {"type": "random"},
    "training": {"early_stop": {"patience": 9}},
    "backbone": {"depth": "resnet18", "pixel_std": [2.0, 2.0, 2.0]},
    "contrastive": {"weight": 0.5},
    "image_normalization": {"mean": [1.0, 1.0, 1.0]},
    "weights": {"backbone": "d.pth"},
    "freeze": {"backbone": True},
    "learning_rate_factors": {"backbone": 0.5},
}
#: Keys that MMF itself reads, or the options of another backbone, so that no section of this run holds them.
OF_MMF = (
    "env.",
    "training.wandb",
    "backbone.name",
    "backbone.model_args",
    "training.trainer",
    "training.stdout_capture",
    "scheduler.",
    "losses",
)
#: Keys that do not go with the other values -> what they need.
ALONE = {
    "head.mean": ["model_config.clipbert.head.type=regress"],
    "head.std": ["model_config.clipbert.head.type=regress"],
    "heads.<dataset>.num_answers": ["model_config.clipbert.heads.msrvtt_qa.type=classify"],
    "heads.<dataset>.shares": ["config=projects/clipbert/configs/multitask/demo.yaml", f"dataset={MIXED}"],
    "contrastive.joins_scores": [
        "model_config.clipbert.contrastive.type=towers",
        "model_config.clipbert.contrastive.weight=1",
    ],
    "contrastive.replaces_scores": [
        "model_config.clipbert.contrastive.type=towers",
        "model_config.clipbert.contrastive.weight=1",
        "model_config.clipbert.contrastive.joins_scores=true",
        "model_config.clipbert.head.type=match",
    ],
    "contrastive.num_members": ["model_config.clipbert.contrastive.type=towers"],
    "contrastive.has_linear_member": ["model_config.clipbert.contrastive.type=towers"],
    "contrastive.hard_negatives": ["model_config.clipbert.contrastive.weight=1"],
    "layout": [],
    "clip_len_sec": ["dataset_config.didemo_retrieval.processors.eval_media_processor.params.fps=null"],
    "training.fp16": ["training.precision=fp16"],
    "training.batch_size_per_device": [],
    "evaluation.rerank_top_k": ["training.early_stop.criteria=msrvtt_qa/clipbert_answers/accuracy"],
}
#: Section -> dataset and recipe of its runs.
RUNS = {"video_text_csv": "video_text_csv/questions", "": "msrvtt_qa/defaults"}
ITEMS = dict.fromkeys(
    ("mlm_probability", "swap_probability", "mask_special_tokens"), "coco_captions_pretraining"
)


def choose_value(key, default):
    """Return a value that is not the default, where one is known or can be computed."""
    for place in (key, key.partition("processors.eval_media_processor.params.")[2] or key):
        place = place.replace("processors.train_media_processor.params.", "")
        if place in VALUES:
            return VALUES[place]
    if key.endswith("media_processor.type"):
        return "clipbert_video"
    if key.startswith("columns."):
        return "mine"
    value = yaml.safe_load(default) if default else None
    if isinstance(value, (str, dict)) or value is None:
        return value  # no other value can be guessed: VALUES has one for the keys that matter
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [entry + 1 for entry in value]
    return value + 1 if isinstance(value, int) else float(value) * 0.5


def build(section, options):
    dataset = section.partition("dataset_config.")[2] or "msrvtt_qa"
    base = [
        f"config=projects/clipbert/configs/{RUNS.get(dataset, f'{dataset}/defaults')}.yaml",
        "model=clipbert",
        f"dataset={dataset}",
    ]
    own = {option.partition("=")[0] for option in options}
    base = [option for option in base if option.partition("=")[0] not in own]
    return Configuration(argparse.Namespace(opts=[*base, *options], config_override=None)).get_config()


def flatten(value, prefix=""):
    """Return {dotted key: value} of nested dataclasses and dicts, each section too."""
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    found = {prefix: to_plain(value)} if prefix else {}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= flatten(inner, f"{prefix}.{key}".removeprefix("."))
    elif isinstance(value, tuple) and any(dataclasses.is_dataclass(entry) for entry in value):
        for place, entry in enumerate(value):
            found |= flatten(entry, f"{prefix}[{place}]")
    return found


def read_typed(config, section):
    """Return what the dataclasses of ours hold, by key below the section."""
    kind, _, name = section.partition(".")
    if kind == "model_config":
        return {key.replace(".options.", "."): value for key, value in flatten(parse_model_config(
            to_plain(config.model_config.clipbert))).items()}  # fmt: skip
    if kind == "dataset_config":
        parsed, task, plain = parse_dataset_config(to_plain(config.dataset_config[name]), SPECS[name])
        typed = flatten(parsed)
        for maker, is_training in ((task.training_items, True), (task.evaluation_items, False)):
            values = read_item_values(maker, plain, section, is_training)
            items = flatten(parse_config(maker.Config, values, section))
            items[f"texts_per_item.{'train' if is_training else 'eval'}"] = items.pop("texts_per_item")
            typed |= items
        for key, entry in plain["processors"].items():
            options = registry.get_processor_class(entry["type"]).OPTIONS
            typed |= flatten(parse_config(options, entry["params"], key), f"processors.{key}.params")
        return typed
    options = parse_run_options(config)
    typed = flatten(options)
    for group in ("loop", "workers", "parallel"):
        typed |= flatten(getattr(options, group), "training")
    typed |= flatten(options.early_stop, "training.early_stop")
    typed |= flatten(options.first_stage, "training.first_stage")
    typed |= flatten(options.distributed, "distributed")
    return typed | flatten(options.optimizer_params, "optimizer.params")


def list_options():
    """Return {(section, key that stands alone, or a kind): [(key in the section, whole key, value)]} of the page."""
    groups = {}
    for part in list_parts():
        for key, default, _ in list_rows(part):
            section, value = part.section, choose_value(key, default)
            if value is None and not default:
                continue  # the heading of a section
            dataset = "msrvtt_mc" if key.endswith("shares") else "msrvtt_qa"
            name = key.replace("<split>[]", "val[0]").replace("<dataset>", dataset)
            if part.heading == "The items of a task":
                section = f"dataset_config.{ITEMS.get(key, 'msrvtt_retrieval')}"
            if part.heading == "Processors":
                section = "dataset_config.didemo_retrieval"
                is_text = key in ("tokenizer", "max_length", "cut")
                name = f"processors.{'text' if is_text else 'eval_media'}_processor.params.{key}"
            is_section = isinstance(value, dict) and key != "multitasking.params"
            if key == "annotations.train":
                name, value = "annotations.train[0].file", "mine.csv"
            group = (section, key if key in ALONE else "sections" if is_section else "keys")
            groups.setdefault(group, []).append((name, f"{section}.{name}".removeprefix("."), value))
    return groups


GROUPS = list_options()


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_every_key_of_the_page_arrives_in_the_typed_configuration(group):
    section, alone = group
    options = [
        f"{full}={value if isinstance(value, str) else json.dumps(value)}" for _, full, value in GROUPS[group]
    ]
    config = build(section, [*options, *ALONE.get(alone, [])])
    typed = read_typed(config, section)
    for name, full, value in GROUPS[group]:
        raw = to_plain(OmegaConf.select(config, full))
        leaves = {name: value}
        if isinstance(value, dict) and name != "multitasking.params":
            leaves = {key: leaf for key, leaf in flatten(value, name).items() if not isinstance(leaf, dict)}
        found = flatten(raw, name)
        assert {key: found[key] for key in leaves} == leaves
        if not name.startswith(OF_MMF) and not re.search(r"processors\.\w+\.type$", name):
            assert {key: typed[key] for key in leaves} == leaves
