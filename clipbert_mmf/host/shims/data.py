"""Compatibility patches for the release's dataset builders and loaders."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any


def restart_dataset_iterators(module: Any) -> None:
    """Renew the iterators of several datasets before each pass.

    MMF never does, so the second pass spins forever. Remove with the release.
    """
    iterate = module.MultiDatasetLoader.__iter__

    @functools.wraps(iterate)
    def restart(self: Any) -> Iterator[Any]:
        if self.num_datasets > 1:
            self._iterators, self._finished_iterators, self._used_once = [], {}, {}
            self.current_index = 0
            self.current_dataset, self.current_loader = self.datasets[0], self.loaders[0]
        return iterate(self)

    module.MultiDatasetLoader.__iter__ = restart


def let_builders_skip_the_registry(module: Any) -> None:
    """Give builders an ``update_registry_for_model`` that does nothing.

    MMF calls it on every builder although no base class defines it. Remove with the release.
    """
    module.BaseDatasetBuilder.update_registry_for_model = lambda self, config: None
