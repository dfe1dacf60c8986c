"""The sample tables of an MP4 tell what its packets tell, or nothing."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.error import FFmpegError
from av.stream import Stream

from clipbert_mmf.video.decode import pyav_backend, read_frames
from clipbert_mmf.video.decode.packets import PacketTable, read_table
from clipbert_mmf.video.decode.pyav_backend import open_pyav
from clipbert_mmf.video.decode.sample_tables import read_sample_table
from tests.encoded_media import write_late_pictures
from tests.real_data import REAL_DATA
from tests.video.conftest import VIDEO_FILES

pytestmark = pytest.mark.skipif(
    not hasattr(Stream, "index_entries"), reason="this PyAV does not show FFmpeg's index"
)

MP4_FILES = [name for name in VIDEO_FILES if name.endswith((".mp4", ".mov"))]
#: Samples in fragments.
READ_BY_PACKETS = {"fragmented.mp4"}
#: Fields of four bytes of these are changed.
BOXES = (b"elst", b"stts", b"ctts", b"stss", b"stsz", b"stsc", b"stco", b"mdhd", b"mvhd", b"tkhd", b"stsd")


def read_both(source: bytes | Path) -> tuple[PacketTable | None, PacketTable]:
    with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
        stream = container.streams.video[0]
        for other in container.streams:
            if other.index != stream.index:
                other.discard = 48
        return read_sample_table(source, container, stream), read_table(container, stream)


def require_same(found: PacketTable, expected: PacketTable) -> None:
    """FFmpeg's parser may see a key frame that the tables do not mark, or the other way round."""
    assert np.array_equal(found.known_pts, expected.known_pts) and np.array_equal(found.dts, expected.dts)
    assert expected.is_shown.all() and found.is_shown.all()
    assert (found.last_ticks, found.codec) == (expected.last_ticks, expected.codec)


def change_field(data: bytes, rng: random.Random) -> bytes:
    """Change one number of the tables: by a little, by much, or to a special one."""
    changed, start = bytearray(data), data.index(b"moov")
    kind = rng.choice([kind for kind in BOXES if data.find(kind, start) > 0])
    places = [place for place in range(start, len(data) - 4) if data[place : place + 4] == kind]
    box = rng.choice(places)
    size = struct.unpack_from(">I", data, box - 4)[0]
    field = box + 4 * rng.randrange(1, max(2, min(size // 4 - 1, rng.choice([12, 1000]))))
    value = struct.unpack_from(">I", data, field)[0]
    new = rng.choice(
        [value + 1, value - 1, 2 * value, 0, 1, value + rng.randrange(-900, 900), rng.getrandbits(32)]
    )
    struct.pack_into(">I", changed, field, new % 2**32)
    return bytes(changed)


@pytest.mark.parametrize("name", MP4_FILES)
def test_tables_tell_what_the_packets_tell(video_file, name):
    for source in (video_file(name), video_file(name).read_bytes()):
        found, expected = read_both(source)
        assert (found is None) == (name in READ_BY_PACKETS)
        if found is not None:
            require_same(found, expected)
            assert np.array_equal(found.is_key, expected.is_key) and found.is_exact


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real files are not here")
def test_tables_of_real_files_tell_what_their_packets_tell():
    served = 0
    for path in sorted((REAL_DATA / "videos").rglob("*.m[po][4v]")):
        found, expected = read_both(path)
        if found is not None:
            require_same(found, expected)
            served += 1
    assert served >= 8


def test_pictures_that_start_behind_the_sound_keep_their_times(tmp_path):
    found, expected = read_both(write_late_pictures(tmp_path / "late.mp4"))
    assert found is not None
    require_same(found, expected)


@pytest.mark.parametrize("name", ["sound.mp4", "b_frames.mp4", "variable.mp4", "hevc.mp4"])
def test_changed_tables_tell_what_the_packets_tell_or_nothing(video_file, name):
    data, rng, outcomes = video_file(name).read_bytes(), random.Random(0), {True: 0, False: 0}
    for _ in range(150):
        try:
            found, expected = read_both(change_field(data, rng))
        except (FFmpegError, IndexError, AttributeError):
            continue  # it does not open, or its packets cannot be read
        if found is not None:
            require_same(found, expected)
        outcomes[found is None] += 1
    assert min(outcomes.values()) >= 10, outcomes


def test_an_edit_that_hides_frames_is_left_to_the_packets(video_file):
    data = bytearray(video_file("b_frames.mp4").read_bytes())
    place = data.index(b"elst") + 16  # start of the first edit
    struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + 3000)
    found, expected = read_both(bytes(data))
    assert found is None and not expected.is_shown.all()


@pytest.mark.parametrize("name", ["plain.mp4", "one_gop.mp4", "variable.mp4", "turned_270.mov", "hevc.mp4"])
def test_frames_are_those_that_are_read_without_the_tables(video_file, name, monkeypatch):
    source = video_file(name)
    with open_pyav(source) as reader:
        timeline = reader.timeline
    starts = timeline.times_sec
    moments = np.concatenate([starts, starts - float(timeline.tick_sec) / 2, starts + 1e-4, [-1.0, 99.0]])
    with_tables = read_frames(source, moments)
    single = [read_frames(source, np.array([moment]))[0] for moment in moments[::9]]
    monkeypatch.setattr(pyav_backend, "read_sample_table", lambda *_: None)
    with open_pyav(source) as reader:
        assert np.array_equal(reader.timeline.ticks, timeline.ticks) and reader.table.kept is not None
        assert (reader.timeline.origin, reader.timeline.last_ticks) == (timeline.origin, timeline.last_ticks)
    expected = read_frames(source, moments)
    assert torch.equal(with_tables, expected) and torch.equal(torch.stack(single), expected[::9])


def test_a_table_that_does_not_start_with_a_key_frame_does_not_change_the_frame(video_file):
    data = bytearray(video_file("one_gop.mp4").read_bytes())
    expected = read_frames(bytes(data), np.array([0.5]))
    place = data.index(b"stss")
    assert struct.unpack_from(">II", data, place + 8) == (1, 1)
    struct.pack_into(">I", data, place + 12, 5)
    assert read_both(bytes(data))[0] is None
    assert torch.equal(read_frames(bytes(data), np.array([0.5])), expected)


def test_damaged_sound_does_not_shorten_the_pictures(video_file):
    data = bytearray(video_file("sound.mp4").read_bytes())
    place = data.rindex(b"stco")
    assert data.count(b"stco") == 2
    struct.pack_into(">I", data, place + 12, 2**31)
    with open_pyav(bytes(data)) as reader:
        assert reader.timeline.num_frames == 24
