"""Compatibility patches for what MMF prints."""

from __future__ import annotations

import collections.abc
import functools
import logging
import os
import re
import warnings
from typing import Any

from clipbert_mmf.host.standins import Standin


def use_current_collections(module: Any) -> None:
    """Offer ``collections.Mapping``, which moved to ``collections.abc`` in Python 3.10.

    Remove with the release.
    """
    additions = {"Mapping": collections.abc.Mapping}
    module.collections = Standin("collections", source="collections", additions=additions)


def show_plugin_messages(module: Any) -> None:
    """Attach the handlers of MMF's logger to ours too.

    MMF attaches them to its own loggers only, so the plugin would be silent. Remove with the release.
    """
    start = module.Logger.__init__

    @functools.wraps(start)
    def __init__(self: Any, config: Any, name: str | None = None) -> None:  # noqa: N807  replaces Logger's own
        start(self, config, name)
        ours = logging.getLogger("clipbert_mmf")
        if self._logger is None or ours.handlers:
            return
        ours.setLevel(self._logger.level)
        ours.propagate = False
        for handler in self._logger.handlers:
            ours.addHandler(handler)

    module.Logger.__init__ = __init__


#: Beginnings of warnings about how MMF calls libraries.
_HIDDEN = (
    "In the sequence `MMF_",  # omegaconf, of MMF's own defaults
    "register_resolver() is deprecated",
    "The epoch parameter in `scheduler.step()`",
)
#: Shown by one process alone.
_SHOWN_ONCE = ("Device specified is 'cuda' but cuda is not present",)


def quiet_warnings(module: Any) -> None:
    """Hide warnings that only MMF's authors can act on; the others come once, from the first process.

    Remove when MMF follows the libraries.
    """
    hidden = _HIDDEN if os.environ.get("RANK", "0") == "0" else (*_HIDDEN, *_SHOWN_ONCE)
    for beginning in hidden:
        warnings.filterwarnings("ignore", re.escape(beginning))
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"mmf\.")
    told: set[tuple[str, str]] = set()

    def tell_once(record: logging.LogRecord) -> bool:
        message = (record.name, record.getMessage())
        is_new = record.levelno != logging.WARNING or message not in told
        told.add(message)
        return is_new

    logging.getLogger("mmf.utils.build").addFilter(tell_once)


def give_wandb_plain_values(module: Any) -> None:
    """Give Weights & Biases the configuration as plain values, and the folder of the run for its files; end on request.

    MMF passes OmegaConf's container, which wandb cannot copy, and reads ``env.wandb_logdir`` without using it, so that
    files lie where the command was typed. It ends the page when Python takes its objects away, where wandb waits for
    ever for a process that is gone. Remove when MMF converts, passes both and ends the page itself.
    """
    setup = module.WandbLogger.setup

    @functools.wraps(setup)
    def set_up(self: Any) -> None:
        from omegaconf import OmegaConf

        folder = module.get_mmf_env(key="wandb_logdir") or module.get_mmf_env(key="save_dir")
        config = OmegaConf.to_container(self._wandb_init["config"], resolve=True)
        self._wandb_init = {"dir": folder, **self._wandb_init, "config": config}
        setup(self)

    module.WandbLogger.setup = set_up
    module.WandbLogger.close = lambda self: self._wandb.finish()
    del module.WandbLogger.__del__
