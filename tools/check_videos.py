"""Reads every medium of a store and reports which are broken: ``python tools/check_videos.py STORE``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipbert_mmf.video.check import main

if __name__ == "__main__":
    sys.exit(main())
