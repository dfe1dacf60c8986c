"""The same, right frame from every kind of file, whatever decodes it: each frame shows its own number."""

import io
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from clipbert_mmf.video.decode import BACKENDS, describe_video, read_frames
from clipbert_mmf.video.decode.pyav_backend import PyavReader
from clipbert_mmf.video.errors import DecodeError, MediaError
from tests.encoded_media import (
    HEIGHT,
    WIDTH,
    draw_frame,
    is_upright,
    read_number,
    write_late_pictures,
    write_mjpeg_with_exif,
    write_tagged_colours,
)
from tests.video.conftest import VARIABLE_PTS, VARIABLE_TIME_BASE, VIDEO_FILES

NUM_FRAMES = 24


def times_of(name: str, frames: np.ndarray, rng=None) -> np.ndarray:
    """A time at which each frame is on screen, somewhere in the middle of its stay."""
    share = 0.4 if rng is None else rng.uniform(0.05, 0.9, np.shape(frames))
    if "variable" in name:
        starts = np.array([*VARIABLE_PTS, VARIABLE_PTS[-1] + 8]) * float(VARIABLE_TIME_BASE)
    else:
        starts = np.arange(NUM_FRAMES + 1) / float(VIDEO_FILES[name].get("fps", 12))
    return starts[frames] + share * (starts[np.asarray(frames) + 1] - starts[frames])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", sorted(VIDEO_FILES))
def test_every_backend_shows_the_frame_that_is_on_screen(video_file, name, backend):
    path, rng = video_file(name), np.random.default_rng(0)
    for size in (1, 2, 6, NUM_FRAMES):
        frames = rng.choice(NUM_FRAMES, size, replace=False)
        pictures = read_frames(path, times_of(name, frames, rng), backend=backend)
        assert [read_number(picture) for picture in pictures] == frames.tolist()
        assert all(is_upright(picture) for picture in pictures)


@pytest.mark.parametrize("name", sorted(VIDEO_FILES))
def test_a_few_frames_are_bit_equal_to_the_same_frames_of_a_full_pass(video_file, name):
    data = video_file(name).read_bytes()
    everything = read_frames(data, times_of(name, np.arange(NUM_FRAMES)))
    for frame in (0, 9, 15, 23):
        assert torch.equal(read_frames(data, times_of(name, np.array([frame])))[0], everything[frame])


@pytest.mark.parametrize("name", sorted(VIDEO_FILES))
def test_backends_agree_to_the_bit(video_file, name):
    times = times_of(name, np.array([3, 20]))
    results = [read_frames(video_file(name), times, backend=backend) for backend in BACKENDS]
    assert all(torch.equal(results[0], result) for result in results[1:])


@pytest.mark.parametrize("name", sorted(VIDEO_FILES))
def test_duration_and_count_are_known_before_decoding(video_file, name):
    info = describe_video(video_file(name))
    if "variable" in name:
        assert info.duration_sec == pytest.approx(VARIABLE_PTS[-1] / 90, abs=0.3)
    elif name != "mpeg2.mpg":
        assert info.duration_sec == pytest.approx(NUM_FRAMES / VIDEO_FILES[name].get("fps", 12), abs=2e-3)
        assert info.fps == pytest.approx(float(VIDEO_FILES[name].get("fps", 12)), rel=1e-3)
    assert info.num_frames == NUM_FRAMES
    stored = (info.width, info.height)
    assert stored == (VIDEO_FILES[name].get("width", WIDTH), VIDEO_FILES[name].get("height", HEIGHT)) or (
        "turned" in name and stored == (HEIGHT, WIDTH)
    )


def test_bytes_and_path_give_the_same(video_file):
    path = video_file("b_frames.mp4")
    times = np.array([0.0, 1.0])
    assert torch.equal(read_frames(path, times), read_frames(path.read_bytes(), times))


def test_the_result_has_the_shape_of_the_times(video_file):
    frames = read_frames(video_file("plain.mp4"), np.array([[0.0, 0.5], [1.0, 1.5], [0.0, 1.9]]))
    assert frames.shape == (3, 2, 3, HEIGHT, WIDTH) and frames.dtype == torch.uint8


def test_frames_keep_the_order_of_the_times_and_repeat(video_file):
    times = times_of("b_frames.mp4", np.array([20, 3, 3, 0, 20]))
    assert [read_number(frame) for frame in read_frames(video_file("b_frames.mp4"), times)] == [
        20,
        3,
        3,
        0,
        20,
    ]


def test_times_outside_the_video_show_its_ends(video_file):
    frames = read_frames(video_file("late_start.mp4"), np.array([-5.0, 99.0]))
    assert [read_number(frame) for frame in frames] == [0, NUM_FRAMES - 1]


def test_the_caller_chooses_times_once_knowing_the_video(video_file):
    seen = []

    def choose(info):
        seen.append(info)
        return np.array([info.duration_sec / 2])

    read_frames(video_file("asp.avi"), choose)
    assert len(seen) == 1 and seen[0].container == "avi" and seen[0].codec == "mpeg4"


def test_each_distinct_frame_is_transformed_once(video_file):
    shapes = []

    def shrink(frame):
        shapes.append(tuple(frame.shape))
        return frame[::2, ::2].permute(2, 0, 1)

    frames = read_frames(video_file("plain.mp4"), np.array([[0.0, 0.01], [1.0, 1.01]]), transform=shrink)
    assert shapes == [(HEIGHT, WIDTH, 3)] * 2
    assert frames.shape == (2, 2, 3, HEIGHT // 2, WIDTH // 2) and frames.is_contiguous()
    assert torch.equal(frames[0, 0], frames[0, 1])


def test_a_video_is_opened_once_whatever_the_number_of_clips(video_file, monkeypatch):
    opened = []
    start = PyavReader.__init__
    monkeypatch.setattr(
        PyavReader, "__init__", lambda self, *args: (opened.append(args), start(self, *args))[1]
    )
    read_frames(video_file("plain.mp4"), np.linspace(0, 2, 32).reshape(16, 2))
    assert len(opened) == 1


def test_only_the_packets_that_wanted_frames_need_are_decoded(video_file):
    reader = PyavReader(video_file("b_frames.mp4"))
    runs = reader.table.plan_runs([int(reader.timeline.ticks[frame]) for frame in (1, 2, 23)])
    reader.close()
    assert sum(stop - start for start, stop in runs) < NUM_FRAMES / 2


def test_a_key_mark_that_is_wrong_does_not_change_the_frame(video_file):
    reader = PyavReader(video_file("one_gop.mp4"))
    reader.table.is_key[[5, 11]] = True
    pictures = dict(reader.frames(np.array([6, 13, 14])))
    reader.close()
    assert {index: read_number(picture) for index, picture in pictures.items()} == {6: 6, 13: 13, 14: 14}


@pytest.mark.parametrize(
    "name",
    [
        "b_frames.mp4",
        "open_gop.mkv",
        "late_start.mp4",
        "variable.mkv",
        "asp.avi",
        "transport.ts",
        "animated.gif",
        "vp9.webm",
    ],
)
def test_a_video_too_large_to_keep_is_read_again_where_it_is_wanted(video_file, name, monkeypatch):
    monkeypatch.setattr("clipbert_mmf.video.decode.packets.MAX_KEPT_BYTES", 0)
    monkeypatch.setattr("clipbert_mmf.video.decode.full_pass._MAX_KEPT_BYTES", 0)
    for frames in ([22], [3, 9, 17], [0, 1, 23], [13, 14]):
        for source in (video_file(name), video_file(name).read_bytes()):
            pictures = read_frames(source, times_of(name, np.array(frames)))
            assert [read_number(picture) for picture in pictures] == frames


def test_several_decoder_threads_give_the_same_frames(video_file):
    times = times_of("b_frames.mp4", np.arange(0, 24, 3))
    one, four = (read_frames(video_file("b_frames.mp4"), times, num_threads=threads) for threads in (1, 4))
    assert torch.equal(one, four)


def test_the_caller_is_told_which_backend_served(video_file):
    pytest.importorskip("decord")
    served = []
    for name in ("plain.mp4", "animated.gif", "asp.avi", "odd.mp4"):
        read_frames(video_file(name), np.array([0.0]), backend="decord", on_served=served.append)
    assert served == ["decord", "pyav", "pyav", "pyav"]


def test_without_decord_pyav_serves(video_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    served = []
    time = times_of("plain.mp4", np.array([7]))
    picture = read_frames(video_file("plain.mp4"), time, backend="decord", on_served=served.append)[0]
    assert read_number(picture) == 7 and served == ["pyav"]


def test_colours_are_right_to_a_few_levels(video_file):
    picture = read_frames(video_file("plain.mp4"), np.array([0.0]))[0]
    torch.testing.assert_close(picture[:, 4, 12].float(), torch.tensor([220.0, 40.0, 40.0]), atol=6, rtol=0)
    torch.testing.assert_close(picture[:, 56, 4].float(), torch.tensor([40.0, 40.0, 40.0]), atol=3, rtol=0)


def test_lossless_pictures_come_back_exactly(video_file):
    from tests.encoded_media import draw_frame

    picture = read_frames(video_file("lossless.mkv"), times_of("lossless.mkv", np.array([5])))[0]
    assert np.array_equal(picture.permute(1, 2, 0).numpy(), draw_frame(5))


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="backend is 'opencv'; allowed are auto, pyav, decord"):
        read_frames(b"", np.array([0.0]), backend="opencv")


@pytest.mark.parametrize("times", [np.array([]), np.array([np.nan])])
def test_times_that_are_no_numbers_are_refused(video_file, times):
    with pytest.raises(ValueError, match="finite number of seconds"):
        read_frames(video_file("plain.mp4"), times)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_seconds_count_from_the_start_of_the_file_as_a_player_shows_them(tmp_path, ending, backend):
    path = write_late_pictures(tmp_path / f"late.{ending}")
    info = describe_video(path)
    assert info.start_sec == pytest.approx(2, abs=2e-3) and info.duration_sec == pytest.approx(4, abs=2e-3)
    assert info.fps == pytest.approx(12, rel=1e-3)
    pictures = read_frames(path, np.array([0.0, 2.04, 3.04, 3.99, 9.0]), backend=backend)
    assert [read_number(picture) for picture in pictures] == [0, 0, 12, 23, 23]


@pytest.mark.parametrize("ending", ["avi", "mkv", "mov"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_side_data_that_pyav_does_not_know_hides_neither_pictures_nor_their_turn(
    tmp_path, ending, orientation
):
    path = write_mjpeg_with_exif(tmp_path / f"camera.{ending}", orientation=orientation)
    pictures = read_frames(path, np.array([0.04, 0.3]))
    assert [read_number(picture) for picture in pictures] == [0, 3] and is_upright(pictures[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("matrix", "is_full_range", "expected"),
    [
        (1, False, (250, 90, 40)),
        (6, False, (235, 76, 44)),
        (9, False, (241, 81, 39)),
        (1, True, (233, 93, 49)),
        (6, True, (220, 81, 52)),
    ],
)
def test_colours_are_those_of_the_matrix_that_the_file_names(
    tmp_path, backend, matrix, is_full_range, expected
):
    path = write_tagged_colours(tmp_path / "tagged.mp4", matrix, is_full_range)
    colour = read_frames(path, np.array([0.0]), backend=backend)[0, :, 32, 32]
    assert (colour.int() - torch.tensor(expected)).abs().max() <= 2, colour.tolist()


@pytest.mark.parametrize("place", ["open", "tables", "packets", "frame", "reformat", "transform"])
@pytest.mark.parametrize(
    "error", [ValueError("29 is not a valid Type"), KeyError("x"), MemoryError(), SystemError("null")]
)
def test_whatever_a_library_throws_is_a_media_error_with_the_name(video_file, monkeypatch, place, error):
    def fail(*args, **kwargs):
        raise error

    targets = {
        "open": "clipbert_mmf.video.decode.pyav_backend.av.open",
        "tables": "clipbert_mmf.video.decode.pyav_backend.read_sample_table",
        "packets": "clipbert_mmf.video.decode.pyav_backend.read_table",
        "frame": "clipbert_mmf.video.decode.pyav_backend.iterate_packets",
        "reformat": "clipbert_mmf.video.decode.pyav_backend.read_turn",
    }
    path = video_file("matroska.mkv" if place == "packets" else "plain.mp4")
    if place in targets:
        monkeypatch.setattr(targets[place], fail)
    with pytest.raises(MediaError, match=path.name):
        read_frames(path, np.array([0.0]), transform=fail if place == "transform" else None)


def test_what_an_own_decoder_throws_is_a_media_error_and_what_the_caller_throws_is_not(
    video_file, monkeypatch
):
    def fail(*args):
        raise KeyError("mine")

    monkeypatch.setitem(BACKENDS, "mine", fail)
    with pytest.raises(DecodeError, match="plain.mp4.*KeyError"):
        read_frames(video_file("plain.mp4"), np.array([0.0]), backend="mine")
    with pytest.raises(KeyError, match="mine"):
        read_frames(video_file("plain.mp4"), fail)


@pytest.mark.parametrize("name", ["plain.mp4", "vp9.webm", "asp.avi", "animated.gif", "transport.ts"])
def test_damage_leads_to_frames_or_to_a_media_error(video_file, name):
    rng, data = np.random.default_rng(0), video_file(name).read_bytes()
    num_errors = 0
    for _ in range(25):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 30)):
            damaged[place] = rng.integers(256)
        try:
            read_frames(bytes(damaged), np.array([0.0, 0.7, 1.9]), key="damaged")
        except MediaError as error:
            num_errors += 1
            assert error.key == "damaged"
    assert num_errors < 25


@pytest.mark.parametrize("backend", ["pyav", "decord"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_motion_jpeg_is_shown_as_the_exif_of_its_pictures_says(tmp_path, orientation, backend):
    if backend == "decord":
        pytest.importorskip("decord")
    exif, encoded = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(draw_frame(5)).save(encoded, "JPEG", quality=95, exif=exif)
    path = tmp_path / "pictures.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=5)
        stream.height, stream.width = draw_frame(5).shape[:2]
        stream.pix_fmt = "yuvj420p"
        for number in range(3):
            packet = av.Packet(encoded.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 5)
            packet.is_keyframe = True
            output.mux(packet)
    expected = np.array(ImageOps.exif_transpose(Image.open(encoded)).convert("RGB")).astype(int)
    (picture,) = read_frames(path, lambda info: np.array([[0.2]]), backend=backend)[0].numpy()
    assert np.abs(picture.transpose(1, 2, 0) - expected).mean() < 8
