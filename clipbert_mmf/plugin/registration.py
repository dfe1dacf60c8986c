"""Everything this plugin registers with MMF, one line per adapter file; imported once MMF is there (``host.loading``)."""

from clipbert_mmf.plugin import (  # noqa: F401
    builder,
    losses,
    metrics,
    schedules,
    trainer,
)
from clipbert_mmf.plugin import media_processors as media  # noqa: F401
from clipbert_mmf.plugin import model as clipbert  # noqa: F401
