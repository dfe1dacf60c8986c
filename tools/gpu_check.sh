#!/usr/bin/env bash
# Checks and measures this checkout on a card, without network: tools/gpu_check.sh [--device cpu] [--out FOLDER].
# PYTHON chooses the interpreter; it needs the libraries of requirements/pinned.txt and MMF (tools/install_mmf.py).
# On a bare machine with pip and a package index, in a checkout, this makes .venv first (a lease of 10 minutes may need the two lines apart):
#   bash -c '. tools/environment.sh; make_environment; pip install -q -r requirements/test.txt'
#   PYTHON=.venv/bin/python bash tools/gpu_check.sh --out "${OUT:-docs/results}"
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "${PYTHON:-python3}" "$root/tools/gpu_check.py" "$@"
