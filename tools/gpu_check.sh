#!/usr/bin/env bash
# Checks and measures this checkout on a card, without network: tools/gpu_check.sh [--device cpu] [--out FOLDER].
# PYTHON chooses the interpreter; it needs the libraries of requirements/pinned.txt and MMF (tools/install_mmf.py).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "${PYTHON:-python3}" "$root/tools/gpu_check.py" "$@"
