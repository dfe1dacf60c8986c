"""What ``mmf_run`` is where the package is installed: MMF's command line with the plugin registered."""

import clipbert_mmf  # noqa: F401
import mmf  # noqa: F401
from mmf_cli.run import run

if __name__ == "__main__":
    run()
