"""Compares the settings of a run with those of the checkpoint it goes on from.

What a checkpoint's state would silently bring back (learning rate, weight decay, schedule) follows the present
settings instead; each difference is logged, old -> new.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from clipbert_mmf.configuration import ConfigurationError, to_plain

logger = logging.getLogger(__name__)

#: Sections of the configuration that decide how a run goes on.
_SECTIONS = (
    "model_config",
    "dataset_config",
    "optimizer",
    "scheduler",
    "training",
    "multitasking",
    "evaluation",
)
#: A resumed run keeps its seed, and says so itself.
_UNCOUNTED = {"training.seed"}
#: Settings that the optimizer's state depends on; another value needs a state of its own.
_STATE_KEYS = {"optimizer.type", "optimizer.params.amsgrad", "optimizer.params.centered"}
#: Entries of a parameter group that are no settings.
_NO_SETTINGS = {"params", "lr", "initial_lr", "fused", "foreach", "param_names"}
_UNSET = "unset"


class Changes:
    """Settings that differ between a checkpoint and the run that goes on from it.

    Args:
        stored: configuration in the checkpoint; anything but a mapping means that it holds none.
        current: configuration of this run.
    """

    def __init__(self, stored: Any, current: Mapping[str, Any]) -> None:
        self.is_known = isinstance(stored, Mapping)
        old, new = (dict(_flatten(config if self.is_known else {})) for config in (stored, current))
        self.values: dict[str, tuple[Any, Any]] = {
            key: (old.get(key, _UNSET), new.get(key, _UNSET))
            for key in sorted(old.keys() | new.keys())
            if key not in _UNCOUNTED and old.get(key, _UNSET) != new.get(key, _UNSET)
        }

    def touch(self, *sections: str) -> bool:
        """Return whether a key below one of the sections changed; True where the old settings are unknown."""
        return not self.is_known or any(
            key == section or key.startswith(f"{section}.") for key in self.values for section in sections
        )

    def describe(self) -> str:
        """Return every change, old -> new."""
        return ", ".join(self._list_texts().values())

    def _list_texts(self) -> dict[str, str]:
        return {key: f"{key} {old} -> {new}" for key, (old, new) in self.values.items()}

    def log(self, source: str) -> None:
        """Log every change.

        Args:
            source: the checkpoint's origin.
        """
        unused = [key for key in self.values if ".weights." in key]
        used = ", ".join(text for key, text in self._list_texts().items() if key not in unused)
        if used:
            logger.warning("settings changed since %s, the new ones are used: %s", source, used)
        if unused:
            logger.warning("%s: not used, since the weights are those of %s", ", ".join(unused), source)

    def refuse_other_state(self, source: str) -> None:
        """Raise ``ConfigurationError`` if the optimizer keeps another kind of state than the checkpoint holds."""
        for key in sorted(_STATE_KEYS & self.values.keys()):
            old, new = self.values[key]
            raise ConfigurationError(
                f"{key} is {new}, and {source} holds the state of an optimizer with {old}: set "
                f"{key}={old} to go on with it, or checkpoint.reset.optimizer=true to start a new one"
            )


def _flatten(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of each leaf of the sections that decide how a run goes on."""
    stack = [(name, config[name]) for name in _SECTIONS if name in config]
    while stack:
        key, value = stack.pop()
        if isinstance(value, Mapping) and value:
            stack += [(f"{key}.{name}", inner) for name, inner in cast(Mapping[str, Any], value).items()]
        else:
            yield key, to_plain(value)


def use_current_groups(stored: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Return a stored state of an optimizer whose groups have the settings of the present one.

    Args:
        stored: state of an optimizer.
        optimizer: made from the present settings.
    """
    groups: list[dict[str, Any]] = [
        {**old, **{key: value for key, value in new.items() if key != "params"}}
        for old, new in zip(stored["param_groups"], optimizer.param_groups, strict=False)
    ]
    for number, (old, new) in enumerate(zip(stored["param_groups"], groups, strict=False)):
        pairs = [(key, old[key], new[key]) for key in sorted(new) if key in old and key not in _NO_SETTINGS]
        pairs.append(("lr", _find_rate(old), _find_rate(new)))
        told = [f"{key} {before} -> {after}" for key, before, after in pairs if not _same(before, after)]
        if told:
            logger.warning("optimizer group %d: %s", number, ", ".join(told))
    # Groups that do not match are for the optimizer to refuse.
    return {**stored, "param_groups": groups + list(stored["param_groups"][len(groups) :])}


def _find_rate(group: Mapping[str, Any]) -> Any:
    return group.get("initial_lr", group.get("lr"))


def _same(first: Any, second: Any) -> bool:
    # A checkpoint may hold a pair as a list, and this process as a tuple.
    return to_plain(first) == to_plain(second)


def continue_schedule(
    scheduler: LRScheduler,
    state: Mapping[str, Any] | None,
    rates: list[float] | None,
    num_updates: int,
    is_changed: bool,
) -> None:
    """Put a schedule to its place in the run, as the present settings have it.

    Args:
        scheduler: made from the present settings; sets the rates of its optimizer's groups.
        state: the stored schedule's.
        rates: the stored learning rates of the groups, of which a schedule without a formula computes the next.
        num_updates: updates that are done.
        is_changed: whether settings differ from those of the stored schedule.

    Raises:
        ConfigurationError: if the settings changed and the schedule cannot start in the middle.
    """
    if isinstance(scheduler, LambdaLR) or (is_changed and hasattr(scheduler, "_get_closed_form_lr")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather not be told the place
            scheduler.step(num_updates)
        return
    if is_changed or state is None or rates is None:
        raise ConfigurationError(
            f"scheduler.type is a {type(scheduler).__name__}, which computes each learning rate from the one "
            f"before and cannot start at update {num_updates}: keep the settings the run began with, or start "
            "a new run from its weights with checkpoint.resume_pretrained=true"
        )
    scheduler.load_state_dict(dict(state))
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def refuse_metric_schedule(scheduler: Any, name: str) -> None:
    """Raise ``ConfigurationError`` if a schedule follows a metric.

    Args:
        scheduler: whatever the registry built.
        name: ``scheduler.type``.
    """
    parameters = inspect.signature(scheduler.step).parameters
    if "metrics" in parameters and parameters["metrics"].default is inspect.Parameter.empty:
        raise ConfigurationError(
            f"scheduler.type is '{name}', a schedule that follows a metric; the trainer steps a schedule "
            "after every update, so that one which depends on the update alone is needed "
            "(clipbert_warmup_linear, clipbert_warmup_cosine, clipbert_warmup_constant)"
        )
