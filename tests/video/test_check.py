"""The check finds what is broken, says why, goes on after a kill, and draws a page."""

import json
import shutil

import numpy as np
import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.video.check import check_into_folder, check_store, write_report
from clipbert_mmf.video.clips import ClipOptions, ClipReader, ImageOptions
from clipbert_mmf.video.decode import BACKENDS
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.findings import Finding, read_journal
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.lmdb import close_environment
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_audio, write_image, write_lmdb
from tests.video.own_decoder import destroy_pictures, read_by_drawing
from tests.video.stores.conftest import write_tar


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory, video_file):
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("plain.mp4", "turned_90.mp4", "animated.gif", "asp.avi"):
        shutil.copy(video_file(name), folder / name)
    # A thumbnail and a frame folder: the first is no medium beside videos, the second is one.
    write_image(folder / "still.jpg")
    (folder / "frames").mkdir()
    for number in range(5):
        write_image(folder / "frames" / f"{number:06d}.jpg")
    write_audio(folder / "song.mp4")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut<b>.mp4").write_bytes(video_file("plain.mp4").read_bytes()[:-500])
    return folder


@pytest.fixture(scope="module")
def output(mixed_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("check")
    started, told = [], []
    totals = check_into_folder(
        str(mixed_folder),
        output,
        num_workers=2,
        on_start=lambda *counts: started.append(counts),
        on_finding=told.append,
    )
    assert started == [(8, 0)] and len(told) == totals.num_media == 8 and totals.num_bad == 3
    return output


def test_the_check_tells_good_from_bad_with_reasons(output):
    report = json.loads((output / "report.json").read_text())
    media = {row["key"]: row for row in report["media"]}
    assert {key for key, row in media.items() if row["reason"]} == {"song", "empty", "cut<b>"}
    assert media["song"]["reason"] == "NoVideoStreamError: no video stream (streams: audio)"
    assert report["num_bad"] == 3 and report["reasons"]["EmptyMediaError"] == 1
    assert media["asp"]["duration_sec"] == pytest.approx(2) and media["asp"]["codec"] == "mpeg4"
    frames = media["frames"]
    assert "still" not in media and (frames["num_frames"], frames["width"], frames["container"]) == (
        5,
        64,
        "frames",
    )


def test_the_bad_list_is_one_that_a_dataset_reads(output):
    lines = [json.loads(line) for line in (output / "bad.jsonl").read_text().splitlines()]
    assert {line["key"] for line in lines} == {"song", "empty", "cut<b>"} and all(
        line["reason"] for line in lines
    )


def test_the_contact_sheet_shows_every_medium_and_escapes_names(output):
    page = (output / "contact_sheet.html").read_text()
    assert page.count("<img") == 5 and page.count("class=bad") == 3
    assert "cut&lt;b&gt;" in page and "http" not in page


def test_a_check_that_was_killed_goes_on(mixed_folder, output, tmp_path):
    journal = tmp_path / "journal.jsonl"
    lines = (output / "journal.jsonl").read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    new = list(check_store(open_store(mixed_folder), journal))
    assert len(new) == 3
    assert sorted(finding.key for finding in read_journal(journal)) == open_store(mixed_folder).keys()


def test_many_media_are_thinned_in_the_page(tmp_path):
    findings = [Finding(f"v{number}", strip="x") for number in range(100)]
    write_report(findings, tmp_path, "store", max_pictures=10)
    assert (tmp_path / "contact_sheet.html").read_text().count("<img") == 10


def _check(location, output, **options):
    read = []
    totals = check_into_folder(str(location), output, on_finding=read.append, **options)
    return totals.num_bad, totals.num_media, len(read)


def test_a_journal_serves_one_store_and_media_that_did_not_change(video_file, tmp_path):
    good = video_file("plain.mp4").read_bytes()
    output = tmp_path / "check"
    for name, first in (("a", good[:300]), ("b", good)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "video0.mp4").write_bytes(first)
        (tmp_path / name / "video1.mp4").write_bytes(good)
    assert _check(tmp_path / "a", output) == (1, 2, 2)
    assert _check(tmp_path / "a", output) == (1, 2, 0)
    (tmp_path / "a" / "video0.mp4").write_bytes(good)
    assert _check(tmp_path / "a", output) == (0, 2, 1)
    assert _check(tmp_path / "b", output) == (0, 2, 2)
    (tmp_path / "b" / "video1.mp4").write_bytes(good[:300])
    assert _check(tmp_path / "b", output) == (1, 2, 1)
    assert json.loads((output / "bad.jsonl").read_text())["key"] == "video1"
    (tmp_path / "b" / "video1.mp4").unlink()
    assert _check(tmp_path / "b", output) == (0, 1, 0)
    assert _check(tmp_path / "a", output, num_random=3) == (0, 2, 2)


def test_the_same_name_in_a_store_of_another_kind_is_read_again(video_file, tmp_path):
    good = video_file("plain.mp4").read_bytes()
    write_lmdb(tmp_path / "store", {"v": good})
    assert _check(tmp_path / "store", tmp_path / "check") == (0, 1, 1)
    assert _check(tmp_path / "store", tmp_path / "check") == (0, 1, 0)
    close_environment(tmp_path / "store")
    write_lmdb(tmp_path / "store", {"v": good[:300]})
    assert _check(tmp_path / "store", tmp_path / "check") == (1, 1, 1)
    shutil.rmtree(tmp_path / "store")
    write_tar(tmp_path / "store" / "a.tar", {"v.mp4": good})
    assert _check(tmp_path / "store", tmp_path / "check") == (0, 1, 1)


def test_a_broken_shard_is_bad_and_the_check_goes_on(video_file, tmp_path):
    for number in range(3):
        write_tar(tmp_path / "s" / f"{number}.tar", {f"v{number}.mp4": video_file("plain.mp4").read_bytes()})
    (tmp_path / "s" / "1.tar").write_bytes(b"<html>")
    for num_read in (3, 1):
        assert _check(tmp_path / "s", tmp_path / "check") == (1, 3, num_read)
    report = json.loads((tmp_path / "check" / "report.json").read_text())
    assert [row["key"] for row in report["media"] if row["reason"]] == [str(tmp_path / "s" / "1.tar")]


def test_whatever_a_store_throws_the_check_goes_on(video_file, tmp_path, monkeypatch):
    for name in "ab":
        shutil.copy(video_file("plain.mp4"), tmp_path / f"{name}.mp4")

    def read(store, key, real=FolderStore.read):
        if key == "a":
            raise KeyError("from a library")
        return real(store, key)

    monkeypatch.setattr(FolderStore, "read", read)
    assert _check(tmp_path, tmp_path / ".check") == (1, 2, 2)


def test_a_check_reads_with_the_decoder_that_is_asked_for(video_file, tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(destroy_pictures(video_file("plain.mp4").read_bytes()))
    monkeypatch.setitem(BACKENDS, "drawing", read_by_drawing)
    arguments = ["check", str(tmp_path), "--output", str(tmp_path / ".check"), "--workers", "1"]
    assert main(arguments) == 1
    assert main([*arguments, "--backend", "drawing"]) == 0
    with pytest.raises(ValueError, match="backend is 'gone'; allowed are auto"):
        check_into_folder(str(tmp_path), tmp_path / ".check", backend="gone")


PICTURES = {
    "avif": ("AVIF", {}),
    "jp2": ("JPEG2000", {}),
    "j2k": ("JPEG2000", {"no_jp2": True}),
    "tif": ("TIFF", {"big_tiff": True}),
    "webp": ("WEBP", {}),
    "heic": ("AVIF", {}),
}


@pytest.mark.parametrize("media", ["image", "video"])
@pytest.mark.parametrize("ending", [*PICTURES, "broken.heic"])
def test_check_and_training_agree_on_pictures_of_every_kind(tmp_path, ending, media):
    kind, options = PICTURES.get(ending, PICTURES["heic"])
    folder = tmp_path / "media"
    folder.mkdir()
    # For videos: a picture under the name of a video.
    path = write_image(tmp_path / "picture", format=kind, **options)
    data = path.read_bytes()
    if ending == "broken.heic":
        data = data[:4] + b"ftypheic" + data[12:60]
    (folder / f"a.{ending if media == 'image' else 'mp4'}").write_bytes(data)
    reader = ClipReader(ImageOptions(image_size=32) if media == "image" else ClipOptions(image_size=32))
    try:
        reader.read(
            str(folder),
            "a.broken" if "broken" in ending and media == "image" else "a",
            np.random.default_rng(0),
        )
        is_readable = True
    except MediaError:
        is_readable = False
    assert is_readable == (media == "image" and ending != "broken.heic")
    for asked in (media, None):
        assert _check(folder, tmp_path / "check", media=asked)[0] == (not is_readable)
