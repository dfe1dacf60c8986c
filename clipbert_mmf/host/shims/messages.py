"""Compatibility patches for the release's logger."""

from __future__ import annotations

import collections.abc
import functools
import logging
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
