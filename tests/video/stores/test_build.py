"""Stores become other stores without a byte lost, also when the build is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbert_mmf.cli.main import main
from clipbert_mmf.video.errors import AmbiguousNameError
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.stores.reencode import Encoding

NAMES = ("plain.mp4", "b_frames.mp4", "animated.gif", "asp.avi", "vp9.webm")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, video_file):
    folder = tmp_path_factory.mktemp("source")
    for name in NAMES:
        shutil.copy(video_file(name), folder / name)
    (folder / "red").mkdir()
    (folder / "red" / "plain.mp4").write_bytes(b"another of this name")
    return folder


def content_of(store):
    found = {key: store.read(key) for key in store.keys()}  # noqa: SIM118, a method of the store
    return {key: value.read_bytes() if isinstance(value, Path) else value for key, value in found.items()}


@pytest.mark.parametrize("kind", ["lmdb", "tar", "folder"])
def test_a_store_keeps_every_byte_and_comes_back_out(folder, tmp_path, kind):
    report = build_store(open_store(folder), tmp_path / "built", kind, num_workers=2)
    assert (report.num_media, report.num_written, report.failed) == (6, 6, {})
    built = open_store(tmp_path / "built")
    assert content_of(built) == content_of(open_store(folder))
    build_store(built, tmp_path / "files", "folder")
    assert content_of(open_store(tmp_path / "files")) == content_of(open_store(folder))
    assert (tmp_path / "files" / "animated.gif").is_file() and (
        tmp_path / "files" / "red" / "plain.mp4"
    ).is_file()


@pytest.mark.parametrize("kind", ["lmdb", "tar", "folder"])
def test_a_second_run_only_adds_what_is_new(folder, tmp_path, kind):
    source = tmp_path / "source"
    shutil.copytree(folder, source)
    (source / "late.mp4").write_bytes(b"late")
    (source / "late.mp4").rename(tmp_path / "late.mp4")
    build_store(open_store(source), tmp_path / "built", kind)
    (tmp_path / "late.mp4").rename(source / "late.mp4")
    report = build_store(open_store(source), tmp_path / "built", kind)
    assert (report.num_written, report.num_skipped) == (1, 6)
    assert content_of(open_store(tmp_path / "built")) == content_of(open_store(source))


@pytest.mark.parametrize("kind", ["lmdb", "tar"])
def test_a_build_that_is_killed_goes_on_without_loss(tmp_path, kind):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(300):
        (source / f"v{number:03d}.mp4").write_bytes(np.random.default_rng(number).bytes(20000))
    # One medium per batch and shard of three: there is much to be interrupted.
    program = (
        "import sys, time; from pathlib import Path; from clipbert_mmf.video.stores.build import "
        "build_store\n"
        "from clipbert_mmf.video.stores.open import open_store\n"
        f"options = {{'lmdb': {{'batch_bytes': 1}}, 'tar': {{'shard_bytes': 60000}}}}['{kind}']\n"
        f"build_store(open_store({str(source)!r}), Path({str(tmp_path / 'built')!r}), '{kind}',"
        "advance=lambda count: (print(count, flush=True), time.sleep(0.002)), **options)"
    )
    running = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    for _ in range(40):
        running.stdout.readline()
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    report = build_store(open_store(source), tmp_path / "built", kind)
    assert 0 < report.num_skipped < 300 and report.num_media == 300
    assert content_of(open_store(tmp_path / "built")) == content_of(open_store(source))
    assert not list((tmp_path / "built").glob("*.part"))


def test_shards_are_closed_at_their_size(folder, tmp_path):
    build_store(open_store(folder), tmp_path / "built", "tar", shard_bytes=8000)
    shards = sorted((tmp_path / "built").glob("*.tar"))
    assert len(shards) > 1 and all(Path(f"{shard}.index").is_file() for shard in shards)
    shutil.rmtree(tmp_path / "built" / "none", ignore_errors=True)
    for index in (tmp_path / "built").glob("*.index"):
        index.unlink()
    assert content_of(open_store(tmp_path / "built")) == content_of(open_store(folder))


def test_the_command_line_reports_size_speed_and_failures(folder, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(folder, source)
    shutil.copy(source / "plain.mp4", source / "red" / "plain.mp4")
    (source / "broken.mp4").write_bytes(b"broken")
    arguments = [
        "build-store",
        str(source),
        str(tmp_path / "built"),
        "--to",
        "lmdb",
        "--short-side",
        "32",
        "--workers",
        "2",
    ]
    assert main(arguments) == 1
    report = json.loads((tmp_path / "built.report.json").read_text())
    assert report["num_media"] == 6 and list(report["failed"]) == ["broken"]
    assert report["read_ms_before"] > 0 and report["bytes_out"] > 0
    (source / "broken.mp4").unlink()
    assert main(arguments) == 0
    assert json.loads((tmp_path / "built.report.json").read_text())["num_skipped"] == 6


def write_classes(root):
    """Write class folders whose videos have the same names, and two files of one stem."""
    for colour in ("blue", "green", "red"):
        for number in (1, 2, 3, 4):
            path = root / colour / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{colour} {number}".encode())
    (root / "red" / "1.avi").write_bytes(b"avi")
    return root


@pytest.mark.parametrize("kind", ["lmdb", "tar", "folder"])
def test_class_folders_are_kept_apart(tmp_path, kind):
    source = open_store(write_classes(tmp_path / "videos"))
    report = build_store(source, tmp_path / "built", kind)
    assert (len(source), report.num_written, report.failed) == (13, 13, {})
    built = open_store(tmp_path / "built")
    assert content_of(built) == content_of(source) and built.resolve("green/3.mp4") == "green/3"
    with pytest.raises(AmbiguousNameError, match="'blue/3"):
        built.read("3")
    build_store(built, tmp_path / "files", "folder")
    assert (tmp_path / "files" / "red" / "1.avi").read_bytes() == b"avi" or kind == "lmdb"
    assert content_of(open_store(tmp_path / "files")) == content_of(source)


def test_what_a_store_cannot_hold_is_named_and_the_rest_goes_on(tmp_path):
    deep = "/".join(["d" * 100] * 6)
    (tmp_path / "videos" / deep).mkdir(parents=True)
    (tmp_path / "videos" / deep / "v.mp4").write_bytes(b"x")
    (tmp_path / "videos" / ("n" * 251 + ".mp4")).write_bytes(b"y")
    report = build_store(open_store(tmp_path / "videos"), tmp_path / "built", "lmdb")
    assert report.num_written == 1 and "an LMDB takes 511" in report.failed[f"{deep}/v"]
    report = build_store(open_store(tmp_path / "videos"), tmp_path / "files", "folder")
    assert report.num_written == 2 and not report.failed


def test_a_target_begun_otherwise_is_refused(folder, tmp_path):
    build_store(open_store(folder), tmp_path / "built", "lmdb")
    with pytest.raises(ValueError, match="was begun with"):
        build_store(open_store(folder), tmp_path / "built", "lmdb", encoding=Encoding())


def test_an_unknown_kind_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match="kind of store is 'zip'; allowed are folder, lmdb, tar"):
        build_store(open_store(folder), tmp_path / "built", "zip")


@pytest.mark.parametrize("kind", ["lmdb", "tar", "folder"])
def test_a_second_run_follows_what_the_source_holds_now(tmp_path, kind):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6):
        (source / f"v{number}.mp4").write_bytes(b"old%d" % number)
    built = tmp_path / "built"
    assert build_store(open_store(source), built, kind).num_written == 6
    (source / "v1.mp4").write_bytes(b"new1")
    (source / "v2.mp4").unlink()
    (source / "v6.mp4").write_bytes(b"new6")
    report = build_store(open_store(source), built, kind)
    assert (report.num_written, report.num_skipped, report.num_removed) == (2, 4, 1)
    assert content_of(open_store(built)) == content_of(open_store(source))
    assert (
        report := build_store(open_store(source), built, kind)
    ).num_skipped == 6 and not report.num_removed
    assert not list(built.glob("*.part"))


@pytest.mark.parametrize("kind", ["lmdb", "tar"])
def test_a_build_follows_a_source_that_is_no_folder(tmp_path, kind):
    for name, data in (("first", b"old"), ("second", b"new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(data)
        (tmp_path / name / "b.mp4").write_bytes(b"same")
    build_store(open_store(tmp_path / "first"), tmp_path / "source", kind)
    build_store(open_store(tmp_path / "source"), tmp_path / "built", "folder")
    shutil.rmtree(tmp_path / "source")
    build_store(open_store(tmp_path / "second"), tmp_path / "source", kind)
    build_store(open_store(tmp_path / "source"), tmp_path / "built", "folder")
    assert content_of(open_store(tmp_path / "built"))["a"] == b"new"


def test_media_of_another_source_stay_and_one_name_is_that_of_the_last(tmp_path):
    for name, data in (("first", {"a": b"1", "b": b"2"}), ("second", {"b": b"3", "c": b"4"})):
        (tmp_path / name).mkdir()
        for key, content in data.items():
            (tmp_path / name / f"{key}.mp4").write_bytes(content)
        report = build_store(open_store(tmp_path / name), tmp_path / "built", "lmdb")
    assert report.num_removed == 0
    assert content_of(open_store(tmp_path / "built")) == {"a": b"1", "b": b"3", "c": b"4"}


@pytest.mark.parametrize("num_bytes", [253, 254, 255])
@pytest.mark.parametrize("kind", ["lmdb", "tar", "folder"])
def test_names_as_long_as_a_file_system_allows_are_built(tmp_path, kind, num_bytes):
    source = tmp_path / "source"
    source.mkdir()
    (source / ("v" * (num_bytes - 4) + ".mp4")).write_bytes(b"long")
    (source / ("\u017e" * ((num_bytes - 5) // 2) + ".webm")).write_bytes(b"two bytes a letter")
    report = build_store(open_store(source), tmp_path / "built", kind)
    assert report.failed == {} and content_of(open_store(tmp_path / "built")) == content_of(
        open_store(source)
    )


@pytest.mark.parametrize("kind", ["lmdb", "tar", "folder"])
def test_names_with_other_endings_in_them_are_kept_and_followed(folder, tmp_path, kind):
    names = {"talk.txt.mp4", "set.tar.mp4", "photo.jpg.mp4", "loop.gif.mp4", "plain.mp4"}
    (tmp_path / "source").mkdir()
    for name in names:
        shutil.copy(folder / "plain.mp4", tmp_path / "source" / name)
    source, target = open_store(tmp_path / "source"), tmp_path / "built"
    assert build_store(source, target, kind, verifies=True).num_written == len(names)
    built = open_store(target)
    assert built.keys() == source.keys() and content_of(built) == content_of(source)
    assert built.resolve("talk.txt.mp4") == built.resolve("talk.txt") == "talk.txt"
    assert build_store(open_store(tmp_path / "source"), target, kind).num_skipped == len(names)
    (tmp_path / "source" / "talk.txt.mp4").unlink()
    report = build_store(open_store(tmp_path / "source"), target, kind)
    assert (report.num_removed, report.num_written) == (1, 0)
    assert len(open_store(target).keys()) == len(names) - 1


def test_a_picture_under_a_videos_name_is_not_taken_for_a_video(folder, tmp_path):
    Image.new("RGB", (32, 24)).save(tmp_path / "still.png")
    (tmp_path / "source").mkdir()
    (tmp_path / "still.png").rename(tmp_path / "source" / "still.mp4")
    shutil.copy(folder / "plain.mp4", tmp_path / "source")
    report = build_store(open_store(tmp_path / "source"), tmp_path / "built", "folder", verifies=True)
    assert report.num_written == 1 and "not a video" in report.failed["still"]


@pytest.mark.parametrize("place", [".", "below/built"])
def test_a_target_in_the_source_is_refused_and_nothing_is_written(folder, tmp_path, place):
    (tmp_path / "source").mkdir()
    shutil.copy(folder / "plain.mp4", tmp_path / "source")
    with pytest.raises(ValueError, match="lies in the source .*; give a folder outside of it"):
        build_store(open_store(tmp_path / "source"), tmp_path / "source" / place, "lmdb")
    assert [path.name for path in (tmp_path / "source").rglob("*")] == ["plain.mp4"]
