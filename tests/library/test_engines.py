"""Encoding in several processes: worker processes, shares of torchrun, and Ray nodes of which one is lost."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipbert_mmf.inference.embedding import embed
from clipbert_mmf.library.building import IndexOptions, build_index
from clipbert_mmf.library.engines import WorkerProcesses
from clipbert_mmf.library.shares import find_rank, join_shares
from clipbert_mmf.library.store import open_library_store
from clipbert_mmf.video.check import check_into_folder
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.open import open_store

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import IndexOptions, build_index
run, videos, out = sys.argv[1:]
options = IndexOptions(timeout_sec=None, batch_media=1, updates=True)
build_index(ClipBert.from_pretrained(run), run, videos, out, options)
"""


def read_rows(index):
    """Return path, kind and start of all rows, whatever their order."""
    rows = [
        row.facts for rows, damaged in open_library_store(index).iterate_rows() for row in rows if not damaged
    ]
    return sorted((row.path, row.kind, row.start_sec or 0.0) for row in rows)


def test_worker_processes_make_the_rows_of_one(model, run_folder, shared_videos, shared_index, tmp_path):
    index = tmp_path / "index"
    options = IndexOptions(timeout_sec=None)
    report = build_index(model, str(run_folder), shared_videos, index, options, WorkerProcesses(2))
    assert report.num_new == 7
    assert read_rows(index) == read_rows(shared_index)


def test_four_processes_of_torchrun_take_shares_and_append(
    run_folder, shared_videos, shared_index, build, tmp_path
):
    (tmp_path / "program.py").write_text(PROGRAM)
    index = tmp_path / "index"
    words = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=4",
        str(tmp_path / "program.py"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words, str(run_folder), str(shared_videos), str(index)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_rows(index) == read_rows(shared_index)
    assert build(shared_videos, index).num_unchanged == 7


def test_a_process_finds_its_rank_or_says_what_is_missing():
    assert find_rank({}) == (0, 1) and find_rank({"RANK": "2", "WORLD_SIZE": "4"}) == (2, 4)
    slurm = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}
    assert find_rank(slurm) == (1, 2)
    with pytest.raises(ValueError, match="2 processes were started, and MASTER_ADDR"), join_shares(slurm):
        pass


@pytest.mark.long
def test_a_lost_ray_node_loses_nothing_and_gives_nothing_twice(run_folder, shared_videos, build, tmp_path):
    pytest.importorskip("ray")
    videos, index = tmp_path / "videos", tmp_path / "index"
    videos.mkdir()
    names = [f"{number:02}.mp4" for number in range(40)]
    for name in names:
        (videos / name).write_bytes((shared_videos / "a.mp4").read_bytes())
    program = ROOT / "tests" / "e2e" / "ray_program.py"
    done = subprocess.run(
        [sys.executable, str(program), str(run_folder), str(videos), str(index)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"report"')))
    assert told["nodes"] == [2, 1] and told["report"]["num_new"] == len(names)
    assert told["embedded"] and told["predicted"] and told["packed_files_are_equal"]
    assert (told["checked"], told["packed"]) == ([len(names), 0], [len(names), 0])
    paths = [row[0] for row in read_rows(index) if row[1] == "video"]
    assert paths == names
    assert build(videos, index).num_unchanged == len(names)


def send(call, items):
    """Map as a cluster does: what is called is pickled, results come in another order."""
    return iter([pickle.loads(pickle.dumps(call))(item) for item in list(items)][::-1])


def test_what_embeds_checks_and_packs_can_be_sent_and_gives_the_same_in_any_order(
    model, shared_videos, tmp_path
):
    files = sorted(shared_videos.rglob("*.mp4"))
    here, there = (embed(model, files, ["blue"], mapper=mapper) for mapper in (map, send))
    assert torch.equal(here.videos, there.videos) and list(there.unreadable) == [
        str(shared_videos / "bad.mp4")
    ]
    assert (here.video_files, here.video_hashes) == (there.video_files, there.video_hashes)
    for name, mapper in (("here", None), ("there", send)):
        totals = check_into_folder(str(shared_videos), tmp_path / name, mapper=mapper)
        assert (totals.num_media, totals.num_bad) == (7, 1)
        report = build_store(open_store(str(shared_videos)), tmp_path / f"{name}_lmdb", "lmdb", mapper=mapper)
        assert report.num_written == 7
    reports = [(tmp_path / name / "report.json").read_text() for name in ("here", "there")]
    assert reports[0] == reports[1]
    stores = [open_store(str(tmp_path / f"{name}_lmdb")) for name in ("here", "there")]
    assert all(stores[0].read(key) == stores[1].read(key) for key in stores[0].keys())  # noqa: SIM118
