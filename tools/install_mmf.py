#!/usr/bin/env python3
"""Install MMF before clipbert_mmf is installed: ``clipbert install-mmf`` of this checkout."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from clipbert_mmf.cli.main import main

    sys.exit(main(["install-mmf", *sys.argv[1:]]))
