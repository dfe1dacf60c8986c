"""What MMF finds under names that its libraries gave up. Only modules of MMF see these (``loading``).

Each entry says what breaks without it. A name is either the module's place today, or a small module made here.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from types import ModuleType

import torch


class Standin(ModuleType):
    """A module made of another module's names and our additions; ``source`` is imported when first asked."""

    def __init__(self, name: str, source: str | None = None, additions: dict | None = None, hint: str = ""):
        super().__init__(name)
        self.__dict__.update(additions or {})
        self.__dict__.update(_source=source, _hint=hint, __path__=[])

    def __getattr__(self, attribute: str):
        if self.__dict__["_source"] and not attribute.startswith("__"):
            return getattr(importlib.import_module(self.__dict__["_source"]), attribute)
        raise AttributeError(f"{self.__name__}.{attribute} {self.__dict__['_hint']}".strip())


class _LightningModule(torch.nn.Module):
    """Base of main's ``BaseModel``; the parts of Lightning's that MMF's own trainer touches are ``nn.Module``'s."""


class _LightningDataModule:
    """Base of main's dataset builders."""

    def __init__(self, *args, **kwargs):
        super().__init__()


class _Lightning:
    """Any other Lightning name: importable, not usable."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError(
            "MMF's Lightning trainer needs PyTorch Lightning 1.6 and does not run on current versions; "
            "use training.trainer=clipbert or MMF's own"
        )


def _adamw() -> type:
    """``transformers`` dropped its AdamW in 4.50 or so (MMF's ``adam_w``); torch's takes the same arguments but one."""

    class AdamW(torch.optim.AdamW):
        """torch's AdamW with the defaults of the one MMF was written for (weight decay 0, eps 1e-6)."""

        def __init__(
            self,
            params,
            lr=1e-3,
            betas=(0.9, 0.999),
            eps=1e-6,
            weight_decay=0.0,
            correct_bias=True,
            fused=None,
        ):
            if not correct_bias:
                raise ValueError("adam_w: correct_bias=False is not supported by torch's AdamW; remove it")
            super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)

    return AdamW


def _transformers_optimization(name: str) -> ModuleType:
    """Main and release: ``from transformers.optimization import AdamW`` fails on transformers >= 4.50."""
    return Standin(name, source="transformers.optimization", additions={"AdamW": _adamw()})


def _torchtext(name: str) -> ModuleType:
    """Main and release: torchtext is archived and loads on no current torch; MMF needs it for word vectors only."""
    vocab = Standin(
        "torchtext.vocab", additions={"pretrained_aliases": {}}, hint="needs torchtext, which is archived"
    )
    return Standin(name, additions={"vocab": vocab})


def _demjson(name: str) -> ModuleType:
    """release: demjson does not build on Python 3; it only decodes ``--config_override``, for which YAML serves."""

    def decode(text: str):
        import yaml

        try:
            return json.loads(text)
        except ValueError:
            return yaml.safe_load(text)

    return Standin(name, additions={"decode": decode})


def _pytorch_lightning(name: str) -> ModuleType:
    """main: imported everywhere for base classes; 1.6 does not install, 2.x moved what MMF imports and takes 2 s."""
    names = dict.fromkeys(("Trainer", "Callback", "ModelCheckpoint", "LightningLoggerBase"), _Lightning)
    names.update(LightningModule=_LightningModule, LightningDataModule=_LightningDataModule)
    names["seed_everything"] = lambda *args, **kwargs: _Lightning()
    root = Standin(name, additions={**names, "__version__": "0", "__file__": __file__})
    root.callbacks = root
    return root


def _torchvision_io(name: str) -> ModuleType:
    """main: ``torchvision.io.read_video`` left in torchvision 0.26 or so; only the charades dataset calls it."""

    def read_video(*args, **kwargs):
        raise RuntimeError(
            "torchvision has no read_video any more; MMF's charades dataset cannot read videos here"
        )

    import torchvision.io

    if hasattr(torchvision.io, "read_video"):
        return torchvision.io
    return Standin(name, source="torchvision.io", additions={"read_video": read_video})


def _torchaudio(name: str) -> ModuleType:
    """main: MMF's image processor looks for its own transforms (``GrayScaleTo3Channels``) in torchaudio first."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):  # absent, or built for another torch
        return Standin(
            name, additions={"transforms": Standin("torchaudio.transforms", hint="needs torchaudio")}
        )


def _modeling_bert(name: str) -> ModuleType:
    """release: as the other moved modules; ``BertLayerNorm`` went too, torch's LayerNorm replaced it."""
    return Standin(
        name, source="transformers.models.bert.modeling_bert", additions={"BertLayerNorm": torch.nn.LayerNorm}
    )


def _moved(place: str) -> Callable[[str], ModuleType]:
    """Main and release: transformers 4 moved its modules below ``transformers.models``."""
    return lambda name: Standin(name, source=place)


#: Name that MMF imports -> maker of what it gets.
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


def find_standin(name: str, skip: set[str] = frozenset()) -> ModuleType | None:
    """Return what MMF gets for ``import name``, or None where the real module serves."""
    if name not in STANDINS or name in skip:
        return None
    if name not in _made:
        _made[name] = STANDINS[name](name)
    return _made[name]
