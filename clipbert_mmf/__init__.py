"""ClipBERT for MMF: sparse sampling of video frames, end to end with text.

Importing this package registers the model, datasets, processors, losses, metrics and trainer with MMF when
``mmf`` is imported, or at once if it is imported already (``host.hook``). Every package but ``plugin`` and
``host`` works without MMF.
"""

from clipbert_mmf.host import hook
from clipbert_mmf.version import __version__

__all__ = ["__version__"]

hook.install()
