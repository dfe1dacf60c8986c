"""ClipBERT for MMF: sparse sampling of video frames, end to end with text.

Importing this package registers the model, datasets, processors, losses, metrics and trainer with MMF as soon as MMF is
there: at once if ``mmf`` is imported already, otherwise when it is (``host.hook``). The rooms that know nothing of MMF
(``video``, ``transforms``, ``modules``, ``scoring``, ``weights``) work without it.
"""

from clipbert_mmf.host import hook
from clipbert_mmf.version import __version__

__all__ = ["__version__"]

hook.install()
