#!/usr/bin/env bash
# What the README promises to somebody with a wheel and own videos: an empty directory, twelve videos and a table, and every
# line of its block "Your videos in five minutes", as it stands there. Prints what each line took; fails where one fails.
# MODEL is a trained model (default: the quickstart's). LIBRARIES is a site-packages folder whose libraries the new
# environment takes, MMF too; without it they are installed, which takes as long as the network does.
# WORK keeps the directory (default: a temporary one, removed at the end).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
model=$(realpath "${MODEL:-$root/save/quickstart/retrieval}")
python=${PYTHON:-python3}
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
[ -d "$model" ] || { echo "MODEL=$model: no such folder; run: bash tools/quickstart.sh" >&2; exit 1; }
mkdir -p "$work" && work=$(realpath "$work")
unset PYTHONPATH CLIPBERT_MMF_HOST

echo "==> The wheel, in an environment of its own"
mkdir "$work/source"
cp -r "$root"/{clipbert_mmf,configs,projects,setup.py,pyproject.toml,README.md,LICENSE,MANIFEST.in} "$work/source"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheel" "$work/source"
"$python" -m venv "$work/venv"
wheel=$(echo "$work"/wheel/*.whl)
if [ -n "${LIBRARIES:-}" ]; then
  realpath "$LIBRARIES" >"$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/libraries.pth"
  "$work/venv/bin/python" -m pip install --quiet --no-deps --ignore-installed "$wheel"
else
  "$work/venv/bin/python" -m pip install --quiet "$wheel[report,demo,library]"
  "$work/venv/bin/clipbert" install-mmf
fi
export PATH=$work/venv/bin:$PATH

mkdir -p "$work/empty/mine/videos" "$work/empty/save/quickstart"
cd "$work/empty"
cp -r "$model" save/quickstart/retrieval
python - <<'PYTHON'
"""Twelve films of a ball over a noisy ground, H.264, five seconds, and their table."""
import csv

import av
import numpy as np

RNG = np.random.default_rng(0)
COLOURS = {"red": (220, 40, 40), "green": (40, 190, 60), "blue": (50, 70, 220), "yellow": (230, 210, 40)}
WAYS = {"rises": (0, -1), "falls": (0, 1), "goes right": (1, 0)}
rows = []
down, across = np.mgrid[:240, :320]
for colour, rgb in COLOURS.items():
    for way, (x, y) in WAYS.items():
        name = f"holiday {len(rows) + 1}.mp4"
        ground = RNG.integers(60, 120, (240, 320, 3)).astype(np.uint8)
        with av.open(f"mine/videos/{name}", "w") as film:
            stream = film.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for moment in np.linspace(-0.5, 0.5, 125):
                picture = ground.copy()
                picture[(across - 160 - 200 * x * moment) ** 2 + (down - 120 - 150 * y * moment) ** 2 < 1600] = rgb
                film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            film.mux(stream.encode())
        rows.append((name, f"a {colour} ball {way}"))
with open("mine/annotations.csv", "w", newline="", encoding="utf-8") as table:
    csv.writer(table).writerows([("video", "text"), *rows])
PYTHON

lines=$(python - "$root/README.md" <<'PYTHON'
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()
section = text.split("## Your videos in five minutes", 1)[1]
print(re.search(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[1], end="")
PYTHON
)
begin=$SECONDS
while IFS= read -r line; do
  started=$SECONDS
  echo "==> $line"
  bash -euo pipefail -c "$line" </dev/null >line.log 2>&1 || { tail -20 line.log; echo "failed: $line" >&2; exit 1; }
  tail -4 line.log
  echo "    ($((SECONDS - started)) s)"
done <<<"$lines"
[ -s save/mine/report.html ] || { echo "no report" >&2; exit 1; }
echo "The block took $((SECONDS - begin)) s; the README promises less than 600 on two cores"
