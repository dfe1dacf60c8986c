"""The GPU kit at toy size: it runs without a card, writes its page, and a part that fails stops no other."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gpu_check
from benchmarks import gpu
from benchmarks.gpu_finding import Bench, Finding

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "parts",
    [
        ["peaks", "batches"],
        pytest.param(["peaks", "steps", "profile", "retrieval", "batches", "graphs"], marks=pytest.mark.long),
    ],
    ids=["short", "long"],
)
def test_the_kit_measures_at_toy_size_and_writes_json_and_page(tmp_path, parts):
    command = ["bash", "tools/gpu_check.sh", "--device", "cpu", "--out", str(tmp_path), "--parts", *parts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    (file,) = tmp_path.glob("gpu-cpu-*.json")
    content = json.loads(file.read_text())
    assert {name: part["status"] for name, part in content["parts"].items()} == dict.fromkeys(parts, "ok")
    page = file.with_suffix(".md").read_text()
    assert all(f"| {part} | ok |" in page for part in parts)
    if "profile" in parts:
        assert "## retrieval" in page and "-profile.png" in page
        assert file.with_name(f"{file.stem}-profile.png").read_bytes()[1:4] == b"PNG"
    assert page[page.index("| part |") :].splitlines()[2] in done.stdout


def test_a_part_that_fails_is_written_and_the_next_one_runs(tmp_path, monkeypatch):
    def fail(bench):
        raise ValueError("no such kernel")

    monkeypatch.setattr(gpu, "PARTS", {"bad": fail, "good": lambda bench: Finding("7 ms")})
    bench = Bench("cpu", True, tmp_path / "gpu", tmp_path)
    code = gpu.run_parts(bench, ["bad", "good"], tmp_path / "results", time.monotonic() + 60)
    bad, good = map(json.loads, (tmp_path / "results").read_text().splitlines())
    assert code == 0 and (bad["status"], bad["headline"]) == ("failed", "no such kernel")
    assert "in fail" in bad["error"] and (good["status"], good["headline"]) == ("ok", "7 ms")


def test_the_two_lists_of_parts_are_one():
    assert list(gpu.PARTS) == list(gpu_check.PARTS)


@pytest.mark.skipif(gpu_check.torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_what_to_do():
    done = subprocess.run([sys.executable, "tools/gpu_check.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "sees no CUDA card" in done.stderr and "--device cpu" in done.stderr
