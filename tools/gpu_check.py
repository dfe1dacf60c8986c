#!/usr/bin/env python3
"""Check and measure this package on a card: the tests of ``tests/gpu``, then what the full-size model costs there.

Needs no network and no data. Every part stands alone: one that fails is reported, and the others go on. Writes
``gpu-<card>-<date>.json`` and a Markdown page beside it, and prints a short table last.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    "peaks", "steps", "profile", "retrieval", "batches", "checkpointing", "graphs", "data", "peers", "compile"
)  # fmt: skip
#: Most seconds of the tests, and of a process that measures without a word.
TEST_SEC, SILENT_SEC = 200, 150


def main() -> int:
    """Parse the command line, run every part, write the page; return 1 if a part failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", default="cuda", choices=("cuda", "cpu"), help="cpu: everything at toy size"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder of the results")
    parser.add_argument("--parts", nargs="+", choices=("tests", *PARTS), default=["tests", *PARTS])
    parser.add_argument("--limit-sec", type=float, default=345, help="no part begins after it")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            f"gpu_check: PyTorch {torch.__version__} sees no CUDA card; look at nvidia-smi, or try the kit itself with "
            "--device cpu",
            file=sys.stderr,
        )
        return 2
    begin = time.monotonic()
    machine = describe_machine(args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    stem = args.out.resolve() / f"gpu-{machine['slug']}-{machine['date']}"
    print(f"{machine['card']}, PyTorch {machine['torch']}, {machine['cores']} cores", flush=True)
    results = [run_tests(args.device)] if "tests" in args.parts else []
    write(stem, machine, results)
    names = [name for name in PARTS if name in args.parts]
    with tempfile.TemporaryDirectory() as work:
        left = args.limit_sec - (time.monotonic() - begin)
        results += measure(
            args.device, names, stem, Path(work), left, lambda found: write(stem, machine, results + found)
        )
    machine["seconds"] = round(time.monotonic() - begin)
    write(stem, machine, results)
    print(format_summary(results))
    print(f"{machine['seconds']} s in all; written: {stem}.json, {stem}.md")
    return int(any(result["status"] == "failed" for result in results))


def describe_machine(device: str) -> dict[str, Any]:
    """Return card, driver, libraries and date."""
    card, driver, memory = "CPU, toy size", "-", "-"
    if device == "cuda":
        card = torch.cuda.get_device_name()
        memory = f"{torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB"
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = (
                subprocess.run(query, capture_output=True, text=True, timeout=20)
                .stdout.split("\n")[0]
                .strip()
            )
        except (OSError, subprocess.TimeoutExpired):
            driver = "unknown"
    return {
        "card": card,
        "slug": "cpu" if device == "cpu" else re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-"),
        "memory": memory,
        "driver": driver,
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "-",
        "cudnn": torch.backends.cudnn.version() or "-",
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
    }


def make_environment() -> dict[str, str]:
    """Return the environment of the processes: this checkout first, then what was given."""
    paths = [str(ROOT), str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


def run_tests(device: str) -> dict[str, Any]:
    """Run ``tests/gpu`` with pytest."""
    begin = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/gpu",
        "-q",
        "-rfE",
        "--tb=short",
        "-p",
        "no:cacheprovider",
    ]
    command += ["--durations=5", "--no-header"]
    environment = make_environment()
    if device == "cpu":
        environment["CLIPBERT_MMF_GPU_TESTS"] = "cpu"  # those of the tests that need no card
    elif importlib.util.find_spec("xdist"):
        command += ["-n", "4", "--dist", "loadfile"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TEST_SEC
        )
        output, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as error:
        output, code = f"{(error.stdout or b'').decode(errors='replace')}\nstopped after {TEST_SEC} s", 1
    lines = [line for line in output.splitlines() if line.strip()]
    if code:
        print(output[-9000:], flush=True)
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    counted = [line for line in lines if re.search(r"\d+ (passed|failed|skipped|error)", line)]
    headline = counted[-1].strip("= ") if counted else (lines[-1] if lines else "no output")
    result = {
        "part": "tests",
        "status": "failed" if code else "ok",
        "headline": headline,
        "columns": ["failed"] if failed else [],
        "rows": [[line[:300]] for line in failed],
        "facts": {},
        "pictures": [],
        "seconds": round(time.monotonic() - begin, 1),
    }
    if code:
        result["error"] = output[-6000:]
    print(f"tests: {result['status']} in {result['seconds']} s: {headline}", flush=True)
    return result


def measure(device, names, stem: Path, work: Path, left_sec: float, publish) -> list[dict[str, Any]]:
    """Run the parts in a process; start another for those that are left where it ends too soon."""
    file = work / "results.jsonl"
    deadline = time.monotonic() + left_sec
    done: list[dict[str, Any]] = []
    while len(done) < len(names) and time.monotonic() < deadline:
        remaining = names[len(done) :]
        known = done[-1]["peaks"] if done and "peaks" in done[-1] else {}
        command = [
            sys.executable,
            "-m",
            "benchmarks.gpu",
            "--device",
            device,
            "--stem",
            str(stem),
            "--work",
            str(work),
        ]
        command += [
            "--results",
            str(file),
            "--peaks",
            json.dumps(known),
            *(["--quick"] if device == "cpu" else []),
        ]
        command += ["--seconds", str(deadline - time.monotonic()), *remaining]
        process = subprocess.Popen(
            command, cwd=ROOT, env=make_environment(), stderr=subprocess.PIPE, text=True
        )
        code, error = _wait(process, file, lambda found=done: publish(_read(file) or found))
        found = _read(file)
        is_cut = time.monotonic() > deadline
        if code and len(found) == len(done) and not is_cut:
            lost = {
                "part": remaining[0],
                "status": "failed",
                "headline": f"its process ended with code {code}",
            }
            found.append({**lost, "error": error[-3000:], "seconds": 0.0, "peaks": known})
            with file.open("a", encoding="utf-8") as output:
                output.write(json.dumps(found[-1]) + "\n")
            print(f"{remaining[0]}: failed: {found[-1]['headline']}\n{error[-1500:]}", flush=True)
        elif not code and len(found) < len(names):
            done = found
            break
        done = found
        publish(done)
    left = [
        {"part": name, "status": "not run", "headline": "no time was left", "seconds": 0.0}
        for name in names[len(done) :]
    ]
    for record in done:
        if record["status"] == "failed":
            print(f"--- {record['part']}\n{record.get('error', '')[-1500:]}", flush=True)
    return done + left


def _read(file: Path) -> list[dict[str, Any]]:
    """Return the parts that are finished."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _wait(process: subprocess.Popen, file: Path, publish: Callable[[], None]) -> tuple[int, str]:
    """Wait for the process, and publish each part; one that finishes none for ``SILENT_SEC`` is ended.

    Returns:
        Exit code and stderr.
    """
    size, since = 0, time.monotonic()
    while True:
        try:
            _, error = process.communicate(timeout=2)
            return process.returncode, error
        except subprocess.TimeoutExpired:
            now = file.stat().st_size if file.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
                publish()
            if time.monotonic() - since > SILENT_SEC:
                process.kill()
                _, error = process.communicate()
                return process.returncode, f"{error}\nended: no part was finished in {SILENT_SEC} s"


def write(stem: Path, machine: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """Write the JSON and the Markdown page."""
    content = {"benchmark": "gpu", **machine, "parts": {result["part"]: result for result in results}}
    Path(f"{stem}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [f"# {machine['card']}, {machine['date']}", ""]
    lines.append(
        f"Written by `tools/gpu_check.sh`, one run. {machine['memory']} of memory, driver {machine['driver']}, PyTorch "
        f"{machine['torch']} (CUDA {machine['cuda']}, cuDNN {machine['cudnn']}), Python {machine['python']}, "
        f"{machine['cores']} cores."
    )
    lines += ["", format_summary(results)]
    for result in results:
        if result.get("rows"):
            lines += ["", f"## {result['part']}", "", format_table(result["columns"], result["rows"])]
        lines += ["", *(f"![{result['part']}]({name})" for name in result.get("pictures", ()))]
        if result["status"] == "failed":
            lines += [
                f"`{result['part']}` failed:",
                "",
                "```",
                result.get("error", "")[-1500:].strip(),
                "```",
            ]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    Path(f"{stem}.md").write_text(text + "\n", encoding="utf-8")


def format_summary(results: list[dict[str, Any]]) -> str:
    """Return one line for each part."""
    rows = [[r["part"], r["status"], f"{r['seconds']:.0f}", r["headline"]] for r in results]
    return format_table(["part", "status", "s", "result"], rows)


def format_table(columns, rows) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
