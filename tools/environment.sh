# Makes .venv once, and brings it up to date when a file it depends on changed. quickstart.sh and test.sh source it.
# PYTHON chooses the interpreter (3.10 to 3.13), VENV the directory.
set -euo pipefail
# Threads that wait for work spin and take the cores from each other, unless they may sleep; a GPU's machine has cores to spare.
if [ -z "${OMP_WAIT_POLICY-}${KMP_BLOCKTIME-}${GOMP_SPINCOUNT-}" ] && ! compgen -G '/dev/nvidia[0-9]*' >/dev/null && [ ! -e /dev/kfd ]; then
  export OMP_WAIT_POLICY=PASSIVE KMP_BLOCKTIME=0
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${VENV:-$root/.venv}
cd "$root"

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.10 python3; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "clipbert_mmf needs Python 3.10 to 3.13; found none. Set PYTHON=/path/to/python3.11" >&2
  return 1
}

# Runs a command (second argument and on) under a title (first), prints the time it took, returns its status.
step() {
  local title=$1 begin=$SECONDS
  shift
  echo "==> $title"
  local status=0
  "$@" || status=$?
  echo "    ($((SECONDS - begin)) s)"
  return $status
}

make_environment() {
  local python stamp fingerprint
  if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python)
    step "Making $venv with $python" "$python" -m venv "$venv"
  fi
  stamp=$venv/.clipbert_mmf
  fingerprint=$(cat requirements/pinned.txt pyproject.toml setup.py clipbert_mmf/cli/install_mmf.py tools/environment.sh | cksum)
  if [ "$(cat "$stamp" 2>/dev/null)" != "$fingerprint" ]; then
    rm -f "$stamp"
    step "Installing the pinned libraries (about 3 GB, mostly torch)" \
      "$venv/bin/python" -m pip install --disable-pip-version-check -r requirements/pinned.txt
    step "Installing MMF from PyPI" "$venv/bin/python" tools/install_mmf.py
    step "Installing clipbert_mmf" \
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -e .
    echo "$fingerprint" >"$stamp"
  fi
  export PATH=$venv/bin:$PATH VIRTUAL_ENV=$venv
  unset PYTHONHOME
}
