"""Turns a folder of videos into LMDB or tar shards, and back: ``python tools/build_video_store.py SOURCE TARGET``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipbert_mmf.video.stores.build import main

if __name__ == "__main__":
    sys.exit(main())
