#!/usr/bin/env bash
# Runs the whole suite in .venv, made if it is not there. Arguments go to pytest: tools/test.sh tests/video -q
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
stamp=$venv/.clipbert_mmf_test
if [ "$(cat "$stamp" 2>/dev/null)" != "$(cksum <requirements/test.txt)" ]; then
  step "Installing the test libraries" \
    python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
  cksum <requirements/test.txt >"$stamp"
fi
# Two threads that fight for two cores are slower than one each.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false
exec python -m pytest "$@"
