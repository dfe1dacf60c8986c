"""Runs as ``mmf_run`` does where the package is installed: MMF's command line with the plugin registered."""

import mmf  # noqa: F401
from mmf_cli.run import run

import clipbert_mmf  # noqa: F401

if __name__ == "__main__":
    run()
