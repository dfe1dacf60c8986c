#!/usr/bin/env bash
# Runs ruff, the format check, basedpyright and the whole suite in .venv, made if it is not there.
# --checks-only or --tests-only as first argument runs one half. Other arguments go to pytest: tools/test.sh tests/video -q
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
checks=true tests=true
case ${1:-} in
  --checks-only) tests=false && shift ;;
  --tests-only) checks=false && shift ;;
esac
make_environment
stamp=$venv/.clipbert_mmf_test
if [ "$(cat "$stamp" 2>/dev/null)" != "$(cksum <requirements/test.txt)" ]; then
  step "Installing the test libraries" \
    python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
  cksum <requirements/test.txt >"$stamp"
fi
if $checks; then
  # All three run, so that one call shows all findings.
  findings=false
  step "Lint" ruff check . || findings=true
  step "Format" ruff format --check . || findings=true
  step "Types" basedpyright --level error || findings=true
  if $findings; then
    echo "tools/test.sh: findings above; 'ruff check --fix .' and 'ruff format .' repair some" >&2
    exit 1
  fi
fi
$tests || exit 0
# Two threads that compete for two cores are slower than one each.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false
exec python -m pytest "$@"
