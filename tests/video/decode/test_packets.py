"""Packets tell the frames' times, and where decoding of each may start."""

from dataclasses import replace

import av
import numpy as np
import pytest

from clipbert_mmf.video.decode import packets
from clipbert_mmf.video.decode.packets import iterate_packets, read_table


@pytest.fixture
def open_table(video_file):
    opened = []

    def open_file(name):
        container = av.open(str(video_file(name)))
        opened.append(container)
        stream = container.streams.video[0]
        return container, stream, read_table(container, stream)

    yield open_file
    for container in opened:
        container.close()


@pytest.mark.parametrize(
    ("name", "is_exact"),
    [
        ("plain.mp4", True),
        ("b_frames.mp4", True),
        ("asp.avi", False),
        ("transport.ts", False),
        ("vp8.webm", False),
    ],
)
def test_only_containers_with_a_time_for_every_frame_are_exact(open_table, name, is_exact):
    table = open_table(name)[2]
    assert table.is_exact == is_exact and (len(table) == 24 or not is_exact)


def test_open_groups_of_pictures_are_seen(open_table):
    table = open_table("b_frames.mp4")[2]
    assert not table.has_leading_frames
    # A key frame in front of frames that are shown before it.
    late = next(packet for packet in range(1, 24) if table.known_pts[packet] > table.known_pts[packet + 1])
    is_key = table.is_key.copy()
    is_key[late] = True
    open_groups = replace(table, is_key=is_key)
    assert open_groups.has_leading_frames
    assert open_groups.find_start(late) == late and open_groups.find_start(late + 1) < late


def test_decoding_starts_at_the_key_frame_before_and_stretches_are_joined(open_table):
    table = open_table("plain.mp4")[2]
    assert np.flatnonzero(table.is_key).tolist() == [0, 8, 16]
    assert [table.find_start(packet) for packet in (0, 7, 8, 23)] == [0, 0, 8, 16]
    pts = table.known_pts.tolist()
    assert table.plan_runs([pts[18], pts[2], pts[4]]) == [(0, 5), (16, 19)]


@pytest.mark.parametrize("name", ["plain.mp4", "b_frames.mp4", "open_gop.mkv"])
def test_packets_that_are_not_kept_are_read_again(open_table, monkeypatch, name):
    container, stream, kept = open_table(name)
    expected = [packet.pts for packet in iterate_packets(container, stream, kept, 10, 20)]
    monkeypatch.setattr(packets, "MAX_KEPT_BYTES", 0)
    container, stream, table = open_table(name)
    assert table.kept is None and len(table) == len(kept)
    assert [packet.pts for packet in iterate_packets(container, stream, table, 10, 20)] == expected
