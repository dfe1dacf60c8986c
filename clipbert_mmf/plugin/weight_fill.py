"""Knows which weights of a model a file has set, and refuses to evaluate the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.config import SECTION
from clipbert_mmf.weights.report import LoadReport

_SHOWN = 4
#: What to type in a run that does not train.
HOW_TO_GIVE = (
    "give the trained weights: checkpoint.resume=true with the run's env.save_dir, "
    f"checkpoint.resume_file=<run>/best.ckpt or {SECTION}.weights.clipbert=<run>/best.ckpt. "
    f"{SECTION}.weights.allow_random=true evaluates random weights all the same"
)
_OTHER = (
    f"set {SECTION} to the model that was trained (its config.yaml has it), or give the checkpoint of this one. "
    f"{SECTION}.weights.allow_random=true uses what fits all the same"
)
_ANSWERS = (
    "where these are outputs for answers, give the vocabulary of its training as "
    "dataset_config.<dataset>.answers.file=<run>/answers_<dataset>.json; else "
)


class WeightFill:
    """Notes which parameters of a network come from files.

    Args:
        network: filled with random numbers so far.
        prefix: begins the names of its parameters in the model's state dict.
        unused_heads: names of heads that may stay random, because nothing asks them.

    Attributes:
        has_trained: whether the model was switched to training, which sets every weight that is meant to be set.
    """

    def __init__(self, network: nn.Module, prefix: str, unused_heads: Sequence[str] = ()):
        self.network, self.prefix = network, prefix
        self.has_trained = False
        self._unused = tuple(f"{prefix}head.{name}." for name in unused_heads)
        self._filled: set[str] = set()
        # MMF copies single weights of ``checkpoint.pretrained_state_mapping`` in place: their version grows.
        self._versions = {name: value._version for name, value in network.named_parameters()}

    @property
    def names(self) -> dict[str, Any]:
        """Weights by their names in the model's state dict; counters are none."""
        state = self.network.state_dict()
        return {
            f"{self.prefix}{name}": value
            for name, value in state.items()
            if not name.endswith("num_batches_tracked")
        }

    def add(self, names: Iterable[str]) -> None:
        """Note weights that were loaded, by their names in the model's state dict."""
        self._filled.update(names)

    def add_report(self, report: LoadReport) -> None:
        """Note what a file filled; rows that it lacks stay random."""
        partly = {
            name for name, (given, own) in report.resized.items() if "words" in name or given[0] < own[0]
        }
        self.add(f"{self.prefix}{name}" for name in report.used if name not in partly)

    def require_all(self, source: str, reports: Sequence[LoadReport] = ()) -> None:
        """Refuse weights that no file has set, unless the model has trained.

        Args:
            source: where the weights come from, for messages.
            reports: of files that were loaded; a whole ClipBERT may have nothing left over either.

        Raises:
            ConfigurationError: names some, and what to set.
        """
        if self.has_trained:
            return
        # Parameters that were copied in place since they were made.
        changed = {
            f"{self.prefix}{name}"
            for name, value in self.network.named_parameters()
            if value._version != self._versions.get(name) and not reports
        }
        missing = [
            name
            for name in self.names
            if name not in self._filled | changed and not name.startswith(self._unused)
        ]
        left = [name for report in reports if report.part == "clipbert" for name in report.left_over]
        if not missing and not left:
            return
        if len(missing) == len(self.names):
            raise ConfigurationError(f"this run does not train and has no weights ({source}): {HOW_TO_GIVE}")
        shapes = {
            f"{self.prefix}{name}": value
            for report in reports
            for name, value in (report.wrong_shape | report.resized).items()
        }
        parts = [
            _list("weights of the model are not in it", missing, shapes) if missing else "",
            _list("of its weights have no place in the model", left, {}) if left else "",
        ]
        raise ConfigurationError(
            f"{source} is not of this model: {' and '.join(part for part in parts if part)}; {_OTHER}"
        )

    def match(self, state: Mapping[str, Any], source: str) -> dict[str, Any]:
        """Return a state dict under the model's names, all of them.

        A wrapper's prefix is taken off.

        Raises:
            ConfigurationError: if weights are missing, unknown or of another shape; names some.
        """
        own = self.names
        state = self._rename(state, own)
        given = {name for name in state if not name.endswith("num_batches_tracked")}
        # The file of several datasets, tested on some of them.
        heads = getattr(self.network, "head", None)
        is_several = isinstance(heads, nn.ModuleDict)
        others = {name for name in given - set(own) if is_several and name.startswith(f"{self.prefix}head.")}
        missing = [name for name in own if name not in given and not name.startswith(self._unused)]
        left = sorted(given - set(own) - others)
        shapes = {
            name: (tuple(state[name].shape), tuple(own[name].shape))
            for name in own
            if name in given and state[name].shape != own[name].shape
        }
        if missing or left or shapes:
            parts = [
                _list("weights are of another shape", sorted(shapes), shapes) if shapes else "",
                _list("weights of the model are not in it", missing, {}) if missing else "",
                _list("of its weights have no place in the model", left, {}) if left else "",
            ]
            hint = _ANSWERS if shapes and all(f"{self.prefix}head." in name for name in shapes) else ""
            raise ConfigurationError(
                f"{source} is not of this model: {', '.join(part for part in parts if part)}; {hint}{_OTHER}"
            )
        return {name: value for name, value in state.items() if name not in others}

    def _rename(self, state: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """Take a wrapper's prefix off: ``module.network.x``, ``model.x`` and ``x`` are all ``network.x``."""
        state = dict(state)
        if not own or not state or set(own) & set(state):
            return state
        bare = next(iter(own)).removeprefix(self.prefix)
        prefixes = {name[: -len(bare)] for name in state if name == bare or name.endswith(f".{bare}")}
        for before in sorted(prefixes, key=len):
            renamed = {
                f"{self.prefix}{name[len(before) :]}" if name.startswith(before) else name: value
                for name, value in state.items()
            }
            if set(own) & set(renamed):
                return renamed
        return state


def _list(what: str, names: Sequence[str], shapes: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> str:
    def describe(name: str) -> str:
        if name not in shapes:
            return name
        given, own = ("x".join(map(str, shape)) or "one" for shape in shapes[name])
        return f"{name} {given}, here {own}"

    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(map(describe, names[:_SHOWN]))}{more})"
