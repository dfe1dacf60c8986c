"""Runs the released ClipBERT's own transformer, from a checkout of its repository, as a peer of the benchmark.

Its code imports libraries of its time (apex, transformers 2, detectron2, horovod). The few names that its
transformer needs of them are given here: LayerNorm, GELU, a base class. detectron2's ResNet-50 with frozen norms
is the plain build's, from torchvision, which computes the same. Nothing of the checkout is part of this
repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain_build import PlainClipBert
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.weights.formats import FORMATS

_PREFIX = "transformer."


class _PreTrainedModel(nn.Module):
    """What the released classes use of transformers 2's base class."""

    def __init__(self, config: Any, *args: Any):
        super().__init__()
        self.config = config

    def init_weights(self) -> None:
        """Do nothing: the weights are copied."""

    def get_head_mask(self, mask: None, num_layers: int) -> list[None]:
        """Return no mask for any layer."""
        return [None] * num_layers

    def get_extended_attention_mask(self, mask: Tensor, shape: Any, device: Any) -> Tensor:
        """Return what is added to the scores of ``(P, S)`` tokens, 1 where attention may look."""
        return (1.0 - mask[:, None, None, :].float()) * -10000.0


def _make_modules() -> dict[str, ModuleType]:
    """Return the modules that the checkout imports, by name."""
    contents: dict[str, dict[str, Any]] = {
        "apex": {},
        "apex.normalization": {},
        "apex.normalization.fused_layer_norm": {"FusedLayerNorm": nn.LayerNorm},
        "transformers": {},
        "transformers.activations": {"gelu": F.gelu, "gelu_new": F.gelu, "swish": F.silu},
        "transformers.configuration_bert": {"BertConfig": SimpleNamespace},
        "transformers.file_utils": {
            "add_start_docstrings": lambda *texts: lambda made: made,
            "add_start_docstrings_to_callable": lambda *texts: lambda made: made,
        },
        "transformers.modeling_utils": {"PreTrainedModel": _PreTrainedModel, "prune_linear_layer": None},
    }
    modules = {}
    for name, values in contents.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(values, __path__=[])
    return modules


@contextmanager
def _old_libraries(checkout: Path) -> Iterator[None]:
    def is_theirs(name: str) -> bool:
        return name.partition(".")[0] in ("src", "apex", "transformers")

    before = {name: module for name, module in sys.modules.items() if is_theirs(name)}
    for name in before:
        del sys.modules[name]
    sys.modules.update(_make_modules())
    sys.path.insert(0, str(checkout))
    try:
        yield
    finally:
        sys.path.remove(str(checkout))
        for name in [name for name in sys.modules if is_theirs(name)]:
            del sys.modules[name]
        sys.modules.update(before)


class ReleasedClipBert(nn.Module):
    """The released transformer and head behind the plain build's convolutions, called as the plain build is.

    Args:
        checkout: folder of the released repository.
        network: ours, whose weights are copied.
        plain: the plain build of the same network.
        sizes: ``transformer`` of the model's configuration.

    Raises:
        SystemExit: if the folder holds no released ClipBERT.
    """

    mean: Tensor

    def __init__(self, checkout: Path, network: ClipBertNetwork, plain: PlainClipBert, sizes: dict[str, Any]):
        super().__init__()
        if not (checkout / "src" / "modeling" / "modeling.py").is_file():
            sys.exit(
                f"--released {checkout}: no src/modeling/modeling.py; give a checkout of jayleicn/ClipBERT"
            )
        with _old_libraries(checkout):
            modeling: Any = importlib.import_module("src.modeling.modeling")
        config = SimpleNamespace(
            **{name: sizes[name] for name in ("vocab_size", "hidden_size", "intermediate_size")},
            num_hidden_layers=sizes["num_layers"],
            num_attention_heads=sizes["num_heads"],
            hidden_dropout_prob=sizes["dropout"],
            attention_probs_dropout_prob=sizes["dropout"],
            max_position_embeddings=512,
            max_grid_row_position_embeddings=100,
            max_grid_col_position_embeddings=100,
            type_vocab_size=2,
            layer_norm_eps=1e-12,
            pad_token_id=0,
            hidden_act="gelu",
            num_labels=2,
            loss_type="ce",
            margin=0.2,
            is_decoder=False,
            output_attentions=False,
            output_hidden_states=False,
        )
        self.transformer = modeling.ClipBertForVideoTextRetrieval(config)
        self.resnet, self.grid = plain.resnet, plain.grid
        self.register_buffer("mean", plain.mean.clone(), persistent=False)
        names = FORMATS["clipbert"]
        state = {names.rename(own): value for own, value in network.state_dict().items()}
        own = {
            name.removeprefix(_PREFIX): value
            for name, value in state.items()
            if name and name.startswith(_PREFIX)
        }
        missing, unexpected = self.transformer.load_state_dict(own, strict=False)
        # A table of positions that the released model never reads, and a buffer of old versions.
        lost = [name for name in missing if "position_embeddings" not in name and "position_ids" not in name]
        if lost or unexpected:
            sys.exit(
                f"--released {checkout}: weights {lost + unexpected} fit no released model of this layout"
            )

    def forward(self, frames: Tensor, input_ids: Tensor, input_mask: Tensor) -> Tensor:
        """Return ``(B * N, 2)`` of ``(B, T, 3, H, W)`` float RGB frames and ``(B, N, L)`` texts."""
        batch, length = frames.shape[:2]
        pixels = (frames.flatten(0, 1) - self.mean).flip(1)
        grids = torch.relu(F.max_pool2d(self.grid(self.resnet(pixels)), 2, 2))
        grids = grids.unflatten(0, (batch, length)).permute(0, 1, 3, 4, 2)
        return self.transformer(
            text_input_ids=input_ids.flatten(0, 1),
            visual_inputs=grids.repeat_interleave(input_ids.shape[1], 0),
            text_input_mask=input_mask.flatten(0, 1),
        )["logits"]
