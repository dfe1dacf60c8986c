"""Everything this plugin registers with MMF, one line per adapter file."""

import importlib
import logging

ADAPTERS = (
    "clipbert_mmf.processors.media",
    "clipbert_mmf.processors.text",
    "clipbert_mmf.datasets.builder",
    "clipbert_mmf.models.clipbert",
    "clipbert_mmf.losses",
    "clipbert_mmf.metrics",
    "clipbert_mmf.optim.schedules",
    "clipbert_mmf.host.trainer",
)

for adapter in ADAPTERS:
    try:
        importlib.import_module(adapter)
    except ModuleNotFoundError as error:
        # Only while the package grows: rooms that are not there yet.
        if not (error.name or "").startswith("clipbert_mmf"):
            raise
        logging.getLogger(__name__).warning("%s is not there yet (%s)", adapter, error)
