"""Imports every module that registers something with MMF; imported once MMF is there (``host.loading``)."""

from clipbert_mmf.plugin import (
    builder,
    losses,
    metrics,
    model,
    processors,
    schedules,
    trainer,
    uncaught_errors,
)

__all__ = [
    "builder",
    "losses",
    "metrics",
    "model",
    "processors",
    "schedules",
    "trainer",
    "uncaught_errors",
]
