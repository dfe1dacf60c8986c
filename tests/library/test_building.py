"""Building an index: what is checked first, what a row holds, updates, damage, two writers."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library import building, encoding
from clipbert_mmf.library.building import IndexOptions, build_index
from clipbert_mmf.library.encoding import Encoder
from clipbert_mmf.library.searching import Library
from clipbert_mmf.library.store import LibraryError, open_library_store
from clipbert_mmf.training.run_lock import acquire_lock, release_lock
from clipbert_mmf.video.errors import DecodeError, ReaderTimeoutError, StoreError
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_video
from tests.inference.small_run import make_run, run_config

NUM_CLIPS = 3
IN_HERE = IndexOptions(timeout_sec=None)


def read_all(index):
    return [row for rows, _ in open_library_store(index).iterate_rows() for row in rows]


def settle(folder):
    """Make files old, so that their states are trusted."""
    for path in folder.rglob("*.mp4"):
        os.utime(path, ns=(1_600_000_000_000_000_000,) * 2)
    time.sleep(2.1)


def test_a_medium_has_a_row_and_one_for_each_clip_with_its_moment(model, shared_videos, shared_index):
    rows = read_all(shared_index)
    assert len(rows) == 6 * (1 + NUM_CLIPS) + 1
    whole = {row.facts.path: row for row in rows if row.facts.kind == "video"}
    assert sorted(whole) == ["a.mp4", "b.mp4", "c.mp4", "news/d.mp4", "news/e.mp4", "news/f.mp4"]
    facts, encoded = whole["news/e.mp4"].facts, model.encode(shared_videos / "news/e.mp4")
    assert facts.duration_sec == pytest.approx(4.8) and facts.fps == pytest.approx(10)
    assert (facts.start_sec, facts.end_sec) == (0.0, facts.duration_sec)
    assert facts.width and facts.height and facts.num_bytes == (shared_videos / facts.path).stat().st_size
    expected = model.network.embed_videos(encoded.visual[None])[0].numpy()
    np.testing.assert_allclose(whole["news/e.mp4"].embedding, expected, rtol=1e-5, atol=1e-6)
    clips = [row for row in rows if row.facts.kind == "clip" and row.facts.path == "news/e.mp4"]
    times = [(row.facts.start_sec, row.facts.end_sec) for row in clips]
    assert sorted(times) == sorted(encoded.times_sec) == sorted(facts.clips_sec)
    (bad,) = [row for row in rows if row.facts.kind == "unreadable"]
    assert bad.facts.path == "bad.mp4" and "cannot be opened" in bad.facts.reason and bad.embedding is None


def test_an_index_goes_on_and_follows_its_source(build, model, videos, tmp_path):
    index = tmp_path / "index"
    first = build(videos, index)
    assert (first.num_new, first.num_unreadable, first.num_rows) == (7, 1, 25)
    again = build(videos, index)
    assert (again.num_new, again.num_unchanged) == (0, 7)
    settle(videos)
    # The states changed and not the contents: nothing is encoded again.
    touched = build(videos, index, updates=True)
    assert (touched.num_changed, touched.num_unchanged, touched.num_rows) == (0, 7, 25)
    write_video(videos / "new.mp4", 33, fps=10)
    write_video(videos / "a.mp4", 40, fps=10)
    (videos / "news/d.mp4").rename(videos / "renamed.mp4")
    (videos / "c.mp4").unlink()
    done = build(videos, index, updates=True)
    counts = (done.num_new, done.num_changed, done.num_renamed, done.num_removed, done.num_unchanged)
    assert counts == (1, 1, 1, 1, 4)
    paths = {row.facts.path for row in read_all(index)}
    assert paths == {"a.mp4", "b.mp4", "bad.mp4", "new.mp4", "renamed.mp4", "news/e.mp4", "news/f.mp4"}
    fresh = tmp_path / "fresh"
    build(videos, fresh)
    assert Library(index, model).search(["blue"], 9, None) == Library(fresh, model).search(["blue"], 9, None)
    (videos / "new.mp4").unlink()
    write_video(videos / "b.mp4", 41, fps=10)
    left = build(videos, index)
    assert left.num_outdated == 2 and "--update brings them up to date" in left.describe()


def test_a_file_that_was_replaced_with_equal_size_and_time_is_seen(build, videos, tmp_path):
    index = tmp_path / "index"
    settle(videos)
    build(videos, index)
    path = videos / "a.mp4"
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert build(videos, index, updates=True).num_changed == 1


def test_verify_reads_contents_whatever_their_states_say(build, videos, tmp_path, monkeypatch):
    index = tmp_path / "index"
    monkeypatch.setattr("clipbert_mmf.library.media.stamp_settled", lambda path: "same")
    build(videos, index)
    write_video(videos / "a.mp4", 40, fps=10)
    assert build(videos, index, updates=True).num_changed == 0
    assert build(videos, index, updates=True, verifies=True).num_changed == 1


def test_what_took_too_long_is_tried_again_and_what_is_broken_only_to_verify(
    build, videos, tmp_path, monkeypatch
):
    index = tmp_path / "index"
    settle(videos)
    read = Encoder._read_clips

    def stall(self, source, facts):
        if facts.path == "a.mp4":
            raise ReaderTimeoutError("reading took longer than 1 s", facts.path)
        return read(self, source, facts)

    monkeypatch.setattr(Encoder, "_read_clips", stall)
    assert build(videos, index, updates=True).num_unreadable == 2
    tried = []

    def note(self, source, facts):
        tried.append(facts.path)
        return read(self, source, facts)

    monkeypatch.setattr(Encoder, "_read_clips", note)
    done = build(videos, index, updates=True)
    assert tried == ["a.mp4"] and (done.num_changed, done.num_unreadable) == (1, 1)
    build(videos, index, updates=True)
    build(videos, index, updates=True, verifies=True)
    assert tried == ["a.mp4", "bad.mp4"]


def test_a_row_of_a_table_that_is_no_path_ends_nothing(build, shared_videos, tmp_path):
    table = tmp_path / "table.txt"
    table.write_text(f"{shared_videos}/a.mp4\nb\0.mp4\n")
    report = build(table, tmp_path / "index")
    assert report.num_media == 2 and list(report.unreadable) == ["b\0.mp4"]


def test_windows_are_read_in_one_pass_as_each_would_be_alone(build, model, shared_videos, tmp_path):
    index = tmp_path / "index"
    build(shared_videos, index, window_sec=2.0)
    rows = [row for row in read_all(index) if row.facts.path == "news/f.mp4"]
    spans = sorted((row.facts.start_sec, row.facts.end_sec) for row in rows)
    assert spans == [(0.0, 2.0), (2.0, 4.0), (4.0, pytest.approx(5.7))]
    for row in rows:
        clips = model.preprocessing.read_clips(
            shared_videos / "news/f.mp4", window_sec=(row.facts.start_sec, row.facts.end_sec)
        )
        expected = model.network.embed_videos(model.encode(clips).visual[None])[0].numpy()
        np.testing.assert_allclose(row.embedding, expected, rtol=1e-5, atol=1e-6)


def test_a_long_video_is_never_in_memory_as_a_whole(build, shared_videos, tmp_path, monkeypatch):
    build(shared_videos, tmp_path / "whole", window_sec=0.5)
    monkeypatch.setattr(encoding, "_CLIPS_AT_ONCE", 2 * NUM_CLIPS)
    kept = []
    encode = Encoder.encode

    def note(self, work, loaded):
        kept.append(len(loaded.clips))
        return encode(self, work, loaded)

    monkeypatch.setattr(Encoder, "encode", note)
    build(shared_videos, tmp_path / "parts", window_sec=0.5)
    assert max(kept) == 2
    rows = [
        {(row.facts.path, row.facts.start_sec): row.embedding for row in read_all(tmp_path / name)}
        for name in ("whole", "parts")
    ]
    assert rows[0].keys() == rows[1].keys() and len(rows[0]) > 30
    for key, vector in rows[0].items():
        assert (vector is None) == (rows[1][key] is None)
        if vector is not None:
            np.testing.assert_allclose(vector, rows[1][key], rtol=1e-5, atol=1e-6)


def test_a_video_whose_later_windows_cannot_be_read_is_one_unreadable_row(
    build, shared_videos, tmp_path, monkeypatch
):
    monkeypatch.setattr(encoding, "_CLIPS_AT_ONCE", 2 * NUM_CLIPS)
    read = Encoder._read_windows

    def fail(self, source, path, first):
        if first and path == "c.mp4":
            raise DecodeError("damaged behind its start", path)
        return read(self, source, path, first)

    monkeypatch.setattr(Encoder, "_read_windows", fail)
    build(shared_videos, tmp_path / "index", window_sec=0.5)
    (row,) = [row for row in read_all(tmp_path / "index") if row.facts.path == "c.mp4"]
    assert (row.facts.kind, row.facts.reason) == ("unreadable", "damaged behind its start")


def test_what_can_fail_fails_before_the_first_video(build, tmp_path, videos, tokenizer_dir, monkeypatch):
    def refuse(*_):
        raise AssertionError("a video was read")

    monkeypatch.setattr("clipbert_mmf.library.encoding.Encoder.read", refuse)
    make_run(tmp_path / "plain", tokenizer_dir, head={"type": "match"})
    plain = ClipBert.from_pretrained(tmp_path / "plain")
    advice = r"no contrastive head.*clipbert train --from .*/plain --data .*weight=0\.1"
    with pytest.raises(ValueError, match=advice):
        build_index(plain, str(tmp_path / "plain"), videos, tmp_path / "index")
    with pytest.raises(StoreError, match="nothing is there"):
        build(tmp_path / "none", tmp_path / "index")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no videos"):
        build(tmp_path / "empty", tmp_path / "index")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="is a file; expected a folder"):
        build(videos, tmp_path / "file")
    with pytest.raises(FileExistsError, match=r"holds other files, such as 'a\.mp4'"):
        build(videos, videos)
    with pytest.raises(ValueError, match=r"--window-sec is -1\.0; expected seconds above 0"):
        IndexOptions(window_sec=-1.0)
    with pytest.raises(ValueError, match=r"--window-sec is 1e-09; expected at least 0\.1"):
        IndexOptions(window_sec=1e-9)
    for parameter in plain.network.visual_embedding.parameters():
        parameter.fill_(float("nan"))
    with pytest.raises(ValueError, match="the model gives nan"):
        build_index(plain, "broken", videos, tmp_path / "index", IndexOptions(needs_embeddings=False))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(building.shutil, "disk_usage", lambda _: usage._replace(free=800))
    with pytest.raises(LibraryError, match=r"will need about \d+ kB for 7 media, and 800 bytes are free"):
        build(videos, tmp_path / "index")
    assert not (tmp_path / "index" / "run.lock").exists()


def test_rows_of_two_models_or_settings_never_mix(build, videos, tmp_path, tokenizer_dir):
    index = tmp_path / "index"
    build(videos, index)
    make_run(
        tmp_path / "other", tokenizer_dir, head={"type": "match"}, contrastive={"weight": 0.1, "size": 8}
    )
    other = ClipBert.from_pretrained(tmp_path / "other")
    other.network.contrastive.video.weight.mul_(2)
    with pytest.raises(
        LibraryError, match=r"embeddings of the model '.*/run' .*and this is the model '.*/other'"
    ):
        build_index(other, str(tmp_path / "other"), videos, index)
    with pytest.raises(LibraryError, match=r"made with --window-sec None, and now it is 2\.0"):
        build(videos, index, window_sec=2.0)
    shutil.copytree(videos, tmp_path / "elsewhere")
    with pytest.raises(LibraryError, match=r"made with SOURCE .*/videos, and now it is .*/elsewhere"):
        build(tmp_path / "elsewhere", index)


def test_a_second_writer_is_told_who_writes(build, videos, tmp_path):
    index = tmp_path / "index"
    code = "import sys, time; from pathlib import Path; from clipbert_mmf.training.run_lock import acquire_lock\n"
    code += "acquire_lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(index)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigurationError, match=rf"is in use: process {holder.pid} on .*another --out"):
            build(videos, index)
    finally:
        holder.kill()
        holder.wait()
    assert build(videos, index).num_new == 7
    acquire_lock(index)  # the lock was given up
    release_lock(index)


def test_damaged_rows_are_refused_by_a_search_and_made_anew_by_a_build(build, model, videos, tmp_path):
    index = tmp_path / "index"
    build(videos, index)
    expected = Library(index, model).search(["blue"], 9, 9)
    row = next(row for row in open_library_store(index).read_paths(["a.mp4"]) if row.facts.kind == "video")
    vector = "[" + ", ".join(str(float(value)) for value in -row.embedding) + "]"
    pytest.importorskip("lancedb").connect(str(index)).open_table("media").update(
        where="path = 'a.mp4' and kind = 'video'", values_sql={"embedding": vector}
    )
    with pytest.raises(
        LibraryError, match=r"1 rows of the index .* damaged, the first of 'a\.mp4'.*--update --verify"
    ):
        Library(index, model)
    assert build(videos, index).num_repaired == 1
    assert Library(index, model).search(["blue"], 9, 9) == expected


def test_bytes_that_change_behind_the_index_are_never_believed(build, model, videos, tmp_path):
    index = tmp_path / "index"
    build(videos, index)
    expected = Library(index, model).search(["blue"], 9, 9)
    rng = np.random.default_rng(0)
    num_refused = 0
    for number in range(12):
        copy = shutil.copytree(index, tmp_path / f"copy{number}")
        data = max((copy / "media.lance" / "data").glob("*.lance"), key=lambda path: path.stat().st_size)
        content = bytearray(data.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        data.write_bytes(content)
        try:
            found = Library(copy, model).search(["blue"], 9, 9)
        except LibraryError as error:
            num_refused += 1
            assert "\n" not in str(error)
        else:
            assert found == expected
    assert num_refused


def test_a_kill_loses_the_batch_in_flight_and_the_next_call_goes_on(
    run_folder, model, build, videos, tmp_path
):
    code = """
import os, sys
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library import building, encoding
from clipbert_mmf.library.store import LibraryStore
append, calls = LibraryStore.append, []
def die(self, rows, replaces=()):
    append(self, rows, replaces)
    calls.append(1)
    if len(calls) == 2:
        os._exit(9)
LibraryStore.append = die
options = building.IndexOptions(batch_media=2, timeout_sec=None)
building.build_index(ClipBert.from_pretrained(sys.argv[1]), sys.argv[1], sys.argv[2], sys.argv[3], options)
"""
    index = tmp_path / "index"
    words = [sys.executable, "-c", code, str(run_folder), str(videos), str(index)]
    assert subprocess.run(words, check=False).returncode == 9
    assert len({row.facts.path for row in read_all(index)}) == 4
    report = build(videos, index)
    assert (report.num_new, report.num_unchanged, report.num_rows) == (3, 4, 25)
    build(videos, tmp_path / "fresh")
    found = [Library(one, model).search(["blue"], 9, None) for one in (index, tmp_path / "fresh")]
    assert found[0] == found[1]


def test_tar_lmdb_and_a_table_are_sources(build, model, shared_videos, shared_index, tmp_path):
    expected = [hit.score for hit in Library(shared_index, model).search(["blue"], 9, None)["blue"]]
    for kind in ("tar", "lmdb"):
        build_store(open_store(shared_videos), tmp_path / kind, kind)
    paths = sorted(map(str, shared_videos.rglob("*.mp4")))
    (tmp_path / "media.csv").write_text("video,title\n" + "".join(f"{path},x\n" for path in paths))
    for source in ("tar", "lmdb", "media.csv"):
        report = build(tmp_path / source, tmp_path / f"{source}_index")
        assert (report.num_new, report.num_rows) == (7, 25), source
        hits = Library(tmp_path / f"{source}_index", model).search(["blue"], 9, 9)["blue"]
        assert [hit.score for hit in hits] == expected, source
        assert build(tmp_path / source, tmp_path / f"{source}_index", updates=True).num_changed == 0


def test_a_report_is_plain_values(build, shared_videos, tmp_path):
    report = build(shared_videos, tmp_path / "index")
    assert json.loads(json.dumps(report.to_dict()))["unreadable"].keys() == {"bad.mp4"}
    assert "7 media: 7 new, 1 unreadable; 25 rows" in report.describe()


def test_a_picture_has_its_size_as_stored(tokenizer_dir, tmp_path):
    config = run_config(tokenizer_dir, head={"type": "match"}, contrastive={"weight": 0.1, "size": 8})
    processors = config["dataset_config"]["msrvtt_retrieval"]["processors"]
    processors["eval_media_processor"] = {"type": "clipbert_image", "params": {"image_size": 64}}
    make_run(tmp_path / "run", tokenizer_dir, config)
    (tmp_path / "photos").mkdir()
    turned = Image.Exif()
    turned[274] = 6
    Image.new("RGB", (90, 60), "red").save(tmp_path / "photos" / "a.jpg", exif=turned)
    build_index(
        ClipBert.from_pretrained(tmp_path / "run"), "run", tmp_path / "photos", tmp_path / "index", IN_HERE
    )
    (row,) = read_all(tmp_path / "index")
    assert (row.facts.width, row.facts.height, row.facts.duration_sec) == (90, 60, None)
