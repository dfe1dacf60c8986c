"""Everything this plugin registers with MMF, one line per adapter file; imported once MMF is there (``host.loading``)."""

from clipbert_mmf import losses, metrics  # noqa: F401
from clipbert_mmf.datasets import builder  # noqa: F401
from clipbert_mmf.host import trainer  # noqa: F401
from clipbert_mmf.models import clipbert  # noqa: F401
from clipbert_mmf.optim import schedules  # noqa: F401
from clipbert_mmf.processors import media, text  # noqa: F401
