#!/usr/bin/env bash
# Runs the end-to-end, host, video, model and weight tests on the oldest and the newest libraries, prints a table for docs/status.md.
# Arguments: sets to run (oldest newest; default both). Needs python3.10 and python3.12, or PYTHON_OLDEST/PYTHON_NEWEST.
# WORK keeps the environments between calls; MMF_SOURCE also runs MMF's main branch from that directory or URL.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${WORK:-$root/save/support_matrix}
mkdir -p "$work"
cd "$root"

# Set -> interpreter and libraries.
declare -A python=([oldest]=${PYTHON_OLDEST:-python3.10} [newest]=${PYTHON_NEWEST:-python3.12})
declare -A libraries=(
  [oldest]="torch==2.1.2 torchvision==0.16.2 transformers==4.40.2 omegaconf==2.0.6 numpy==1.26.4 av==16.0.1 setuptools<81"
  [newest]="torch torchvision transformers omegaconf numpy av"
)
tests="tests/e2e tests/host tests/contract/test_registered.py tests/video tests/models tests/weights"

run_set() {
  local name=$1 version=$2 venv=$work/$1-$2 log=$work/$1-$2.log
  # MMF's main needs OmegaConf 2.1.
  [ "$version" = main ] && libraries[$name]=${libraries[$name]/omegaconf==2.0.6/omegaconf==2.1.2}
  {
    [ -x "$venv/bin/python" ] || "${python[$name]}" -m venv "$venv"
    "$venv/bin/python" -m pip install --disable-pip-version-check ${libraries[$name]} -r requirements/test.txt &&
      "$venv/bin/python" -m pip install --disable-pip-version-check -e . &&
      if [ "$version" = main ]; then
        "$venv/bin/python" tools/install_mmf.py --source "$MMF_SOURCE"
      else
        "$venv/bin/python" tools/install_mmf.py
      fi &&
      OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false "$venv/bin/python" -m pytest -q $tests
  } >"$log" 2>&1
  local outcome versions
  outcome=$(grep -E '^[0-9]+ (passed|failed)|^ERROR|no tests ran' "$log" | tail -n 1)
  versions=$("$venv/bin/python" - <<'PYTHON'
import platform
from importlib.metadata import version

names = ("torch", "torchvision", "transformers", "omegaconf", "numpy", "av")
print(" | ".join([platform.python_version(), *(version(name).split("+")[0] for name in names)]))
PYTHON
  )
  echo "| $name | $version | $versions | ${outcome:-failed to install, see $log} |" | tee -a "$work/table.md"
}

: >"$work/table.md"
echo "| set | MMF | Python | torch | torchvision | transformers | omegaconf | numpy | av | $tests |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
for name in "${@:-oldest newest}"; do
  for one in $name; do
    run_set "$one" release
    [ -z "${MMF_SOURCE:-}" ] || run_set "$one" main
  done
done
! grep -q failed "$work/table.md"
