"""Inspection: each foreign format is named for what it is, with counts against a model; nothing is loaded."""

import hashlib
import json
import pickle
import re

import pytest
import torch
import torchvision
import yaml
from transformers import BertConfig, BertModel

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.inspecting import inspect_weights
from clipbert_mmf.weights.files import WeightsFileError
from tests.inference.small_run import make_run, run_config
from tests.parity import released_format as released
from tests.weights.test_loading import to_mmaction2


@pytest.fixture(scope="module")
def resnet50():
    with torch.device("meta"):
        state = torchvision.models.resnet50(weights=None).state_dict()
    # Real names and shapes without the bytes: one number stands for each tensor.
    return {name: torch.zeros(()).expand(value.shape) for name, value in state.items()}


def to_detectron2(name: str) -> str:
    name = re.sub(r"^(conv1|bn1)\.", lambda found: f"stem.conv1{'.norm' if found[1] == 'bn1' else ''}.", name)
    name = re.sub(r"layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    return re.sub(r"bn(\d)", r"conv\1.norm", name)


def test_torchvisions_resnet_50_at_full_size_says_which_key_to_set(resnet50, tmp_path):
    torch.save(resnet50, tmp_path / "resnet50.pth")
    found = inspect_weights(tmp_path / "resnet50.pth")
    assert (found.format, found.parts) == ("torchvision's ResNet", ["backbone"])
    assert "set model_config.clipbert.backbone.stride_in_1x1=false" in found.problem
    assert len(found.report.used) == 53 * 5 and not found.report.missing and not found.report.left_over
    assert found.num_values == sum(value.numel() for value in resnet50.values())
    digest = hashlib.sha256((tmp_path / "resnet50.pth").read_bytes()).hexdigest()
    assert found.files == {"resnet50.pth": ((tmp_path / "resnet50.pth").stat().st_size, digest)}


def test_detectron2s_and_mmaction2s_at_full_size(resnet50, tmp_path):
    plain = {
        name: value
        for name, value in resnet50.items()
        if "num_batches" not in name and not name.startswith("fc")
    }
    renamed = {to_detectron2(name): value for name, value in plain.items()}
    torch.save({"model": renamed, "__author__": "x"}, tmp_path / "d")
    found = inspect_weights(tmp_path / "d")
    assert found.format == "Detectron2's or grid-feat's ResNet" and not found.problem
    assert (
        len(found.report.used) == 53 * 5 and found.report.is_complete and found.notes == {"__author__": "x"}
    )
    torch.save(
        {"state_dict": {to_mmaction2(name): value for name, value in plain.items()}}, tmp_path / "tsn.pth"
    )
    assert inspect_weights(tmp_path / "tsn.pth").format == "mmaction2's TSN"


def test_a_bert_of_base_size_and_one_of_another_vocabulary(tmp_path):
    for vocab_size, used in ((30522, 199), (28996, 198)):
        with torch.device("meta"):
            state = BertModel(BertConfig(vocab_size=vocab_size)).state_dict()
        torch.save(
            {name: torch.zeros(()).expand(value.shape) for name, value in state.items()},
            tmp_path / "bert.bin",
        )
        found = inspect_weights(tmp_path / "bert.bin")
        assert (
            found.format == "a BERT or RoBERTa"
            and len(found.report.used) == used
            and not found.report.missing
        )
        assert list(found.report.wrong_shape) == ["text_embedding.words.weight"] * (vocab_size != 30522)


@pytest.mark.parametrize("head, outputs", [("match", 2), ("choose", 1), ("classify", 7), ("pretrain", 2)])
def test_a_released_file_is_compared_with_a_model_of_its_head(head, outputs, tmp_path):
    torch.save(released.make_state(4, 16, 2, 50, 24, head, outputs), tmp_path / "model_step_1.pt")
    report = inspect_weights(tmp_path / "model_step_1.pt").report
    assert not any(name.startswith("head.") for name in report.missing)
    assert not any("classifier" in name or "cls." in name for name in report.left_over)


def test_a_runs_checkpoint_is_compared_with_its_own_model(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "classify", "num_answers": 3})
    config = run_config(tokenizer_dir, head={"type": "classify", "num_answers": None})
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("best.ckpt", "clipbert_final.pth"):
        found = inspect_weights(tmp_path / "run" / name)
        assert found.format == "our own checkpoint" and found.report.is_complete and not found.problem
    # A BERT that happens to lie in the folder of another model's run.
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model_config": {"visual_bert": {}}}))
    torch.save({"embeddings.word_embeddings.weight": torch.zeros(2, 2)}, tmp_path / "bert.bin")
    assert inspect_weights(tmp_path / "bert.bin").format == "a BERT or RoBERTa"


def test_the_command_prints_a_table_or_json(tmp_path, capsys):
    torch.save(released.make_state(4, 16, 2, 50, 24, "match"), tmp_path / "a.pt")
    assert main(["inspect", str(tmp_path / "a.pt")]) == 0
    printed = capsys.readouterr().out
    assert "the released ClipBERT" in printed and "sha256" in printed and "wrong shape, now random" in printed
    assert main(["inspect", str(tmp_path / "a.pt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"] == ["clipbert", "backbone", "transformer"]


class Malicious:
    def __reduce__(self):
        return (open, ("/tmp/clipbert_mmf_was_here", "w"))


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (pickle.dumps({"model": Malicious()}), "would run code when read and is refused"),
        (pickle.dumps({"model": {"x": [1]}}), "holds no state dict"),
        (b"some text that is long enough", "is neither a PyTorch, safetensors nor pickle file"),
    ],
)
def test_the_command_ends_with_1_and_the_reason(content, message, tmp_path, capsys):
    (tmp_path / "a.bin").write_bytes(content)
    assert main(["inspect", str(tmp_path / "a.bin")]) == 1
    assert message in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "none.bin")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_names_of_no_known_format_are_an_error(tmp_path):
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsFileError, match="no known format, such as"):
        inspect_weights(tmp_path / "a.pth")
