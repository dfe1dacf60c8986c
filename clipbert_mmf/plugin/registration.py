"""Imports every module that registers something with MMF; imported once MMF is there (``host.loading``)."""

from clipbert_mmf.plugin import (
    builder,
    losses,
    media_processors,
    metrics,
    model,
    schedules,
    text_processor,
    trainer,
)

__all__ = [
    "builder",
    "losses",
    "media_processors",
    "metrics",
    "model",
    "schedules",
    "text_processor",
    "trainer",
]
