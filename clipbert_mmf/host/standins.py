"""Stand-ins for modules that MMF imports and current libraries lack.

Only modules of MMF see these (``loading``).

Each entry says what breaks without it. A stand-in offers the names of the module's current place, or a few
made here.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any, NoReturn

import torch


class Standin(ModuleType):
    """A module made of another module's names and our additions.

    Args:
        name: dotted name of the module it stands in for.
        source: dotted name of the module that has the other names; it is imported when first asked.
        additions: names that the source lacks or that differ.
        hint: end of the error message for names that nobody has.
    """

    def __init__(
        self, name: str, source: str | None = None, additions: dict[str, Any] | None = None, hint: str = ""
    ):
        super().__init__(name)
        self.__dict__.update(additions or {})
        self.__dict__.update(_source=source, _hint=hint, __path__=[])

    def __getattr__(self, attribute: str) -> Any:
        if self.__dict__["_source"] and not attribute.startswith("__"):
            return getattr(importlib.import_module(self.__dict__["_source"]), attribute)
        raise AttributeError(f"{self.__name__}.{attribute} {self.__dict__['_hint']}".strip())


class _LightningModule(torch.nn.Module):
    """Base of main's ``BaseModel``; MMF's own trainer uses only what ``nn.Module`` has."""


class _LightningDataModule:
    """Base of main's dataset builders."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()


class _Lightning:
    """Any other Lightning name: importable, not usable."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError(
            "MMF's Lightning trainer needs PyTorch Lightning 1.6 and does not run on current versions; "
            "use training.trainer=clipbert or MMF's own"
        )


class AdamW(torch.optim.AdamW):
    """torch's AdamW with the defaults of transformers' (weight decay 0, eps 1e-6), which is gone since 4.50 or so."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = True,
        fused: bool | None = None,
    ):
        if not correct_bias:
            raise ValueError("adam_w: correct_bias=False is not supported by torch's AdamW; remove it")
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)


def _transformers_optimization(name: str) -> ModuleType:
    """Offer AdamW. Both versions import it from ``transformers.optimization``, which fails on transformers >= 4.50."""
    return Standin(name, source="transformers.optimization", additions={"AdamW": AdamW})


def _torchtext(name: str) -> ModuleType:
    """Offer ``vocab``. torchtext is archived and loads on no current torch.

    Both versions need it for word vectors.
    """
    vocab = Standin(
        "torchtext.vocab", additions={"pretrained_aliases": {}}, hint="needs torchtext, which is archived"
    )
    return Standin(name, additions={"vocab": vocab})


def _demjson(name: str) -> ModuleType:
    """Offer ``decode``. demjson does not build on Python 3.

    The release decodes ``--config_override`` with it.
    """

    def decode(text: str) -> Any:
        import yaml

        try:
            return json.loads(text)
        except ValueError:
            return yaml.safe_load(text)

    return Standin(name, additions={"decode": decode})


def _pytorch_lightning(name: str) -> ModuleType:
    """Offer base classes. Main needs 1.6, which does not install.

    2.x moved what MMF imports and takes 2 s to import.
    """
    names: dict[str, Any] = {
        **dict.fromkeys(("Trainer", "Callback", "ModelCheckpoint", "LightningLoggerBase"), _Lightning),
        "LightningModule": _LightningModule,
        "LightningDataModule": _LightningDataModule,
        "seed_everything": lambda *args, **kwargs: _Lightning(),
    }
    root = Standin(name, additions={**names, "__version__": "0", "__file__": __file__})
    vars(root)["callbacks"] = root
    return root


def _torchvision_io(name: str) -> ModuleType:
    """Offer ``read_video``, which torchvision 0.26 or so removed; only main's charades dataset calls it."""

    def read_video(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            "torchvision has no read_video any more; MMF's charades dataset cannot read videos here"
        )

    import torchvision.io

    if hasattr(torchvision.io, "read_video"):
        return torchvision.io
    return Standin(name, source="torchvision.io", additions={"read_video": read_video})


def _torchaudio(name: str) -> ModuleType:
    """Offer empty ``transforms``. Main looks for its own (``GrayScaleTo3Channels``) in torchaudio first."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):  # absent, or built for another torch
        return Standin(
            name, additions={"transforms": Standin("torchaudio.transforms", hint="needs torchaudio")}
        )


def _modeling_bert(name: str) -> ModuleType:
    """Offer the module's current place with ``BertLayerNorm``, which torch's LayerNorm replaced."""
    return Standin(
        name, source="transformers.models.bert.modeling_bert", additions={"BertLayerNorm": torch.nn.LayerNorm}
    )


def _moved(place: str) -> Callable[[str], ModuleType]:
    """Offer a module's current place: transformers 4 moved its modules below ``transformers.models``."""
    return lambda name: Standin(name, source=place)


#: Name that MMF imports -> function that makes its stand-in.
STANDINS: dict[str, Callable[[str], ModuleType]] = {
    "torchtext": _torchtext,
    "demjson": _demjson,
    "transformers.optimization": _transformers_optimization,
    "transformers.modeling_bert": _modeling_bert,
    "transformers.configuration_bert": _moved("transformers.models.bert.configuration_bert"),
    "transformers.tokenization_bert": _moved("transformers.models.bert.tokenization_bert"),
    "transformers.modeling_roberta": _moved("transformers.models.roberta.modeling_roberta"),
    "transformers.configuration_auto": _moved("transformers.models.auto.configuration_auto"),
    "transformers.modeling_auto": _moved("transformers.models.auto.modeling_auto"),
    "transformers.tokenization_auto": _moved("transformers.models.auto.tokenization_auto"),
    "pytorch_lightning": _pytorch_lightning,
    "pytorch_lightning.callbacks": _pytorch_lightning,
    "pytorch_lightning.callbacks.base": _pytorch_lightning,
    "torchvision.io": _torchvision_io,
    "torchaudio": _torchaudio,
}

_made: dict[str, ModuleType] = {}


def find_standin(name: str, skip: Collection[str] = ()) -> ModuleType | None:
    """Return the stand-in that MMF gets for ``import name``, or None where it gets the real module.

    Args:
        name: dotted name of the module.
        skip: names of stand-ins to leave out.
    """
    if name not in STANDINS or name in skip:
        return None
    if name not in _made:
        _made[name] = STANDINS[name](name)
    return _made[name]
