"""One reader for training and inference: from a key or a source to the frames and times of K clips."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from clipbert_mmf.transforms.frames import pad_channels_last, resize_and_pad
from clipbert_mmf.video.clips import ClipOptions, ClipReader, ImageOptions
from clipbert_mmf.video.decode import BACKENDS, read_frames
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.errors import MediaError, MissingMediaError, NoVideoStreamError
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.served import ServedTally
from tests.encoded_media import draw_frame, read_number, write_audio, write_image, write_lmdb, write_video
from tests.video.own_decoder import destroy_pictures, read_by_drawing

OPTIONS = ClipOptions(128, num_clips=3, num_frames=2, sampling="uniform", clip_len_sec=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "a.mp4")
    write_image(folder / "picture.jpg")
    write_audio(folder / "song.mp4")
    return folder


def test_a_key_of_a_store_becomes_clips_with_times(folder):
    clips = ClipReader(OPTIONS).read(str(folder), "a")
    assert clips.frames.shape == (3, 2, 3, 128, 128) and clips.frames.dtype == torch.uint8
    assert clips.times_sec == ((0.0, 0.5), (0.75, 1.25), (1.5, 2.0))
    numbers = [[read_number(frame) for frame in clip] for clip in clips.frames]
    assert numbers == [[0, 5], [9, 14], [18, 23]]


def test_path_bytes_store_and_decoded_frames_give_the_same_clips(folder, tmp_path):
    reader, path = ClipReader(OPTIONS), folder / "a.mp4"
    expected = reader.read(str(folder), "a")
    lmdb = write_lmdb(tmp_path / "lmdb", {"a": path.read_bytes()})
    drawn = DecodedVideo(read_frames(path, (np.arange(24) + 0.5) / 12).permute(0, 2, 3, 1).numpy(), fps=12)
    for clips in (
        reader.read_source(path),
        reader.read_source(path.read_bytes()),
        reader.read(str(lmdb), "a"),
        reader.read_source(drawn),
    ):
        assert torch.equal(clips.frames, expected.frames) and clips.times_sec == expected.times_sec


def test_several_locations_are_one_store(folder, tmp_path):
    write_video(tmp_path / "b.mp4")
    reader = ClipReader(OPTIONS)
    location = (str(tmp_path), str(folder))
    assert reader.count_missing(location, ["a", "b", "c"]) == 1
    assert reader.read(location, "a").frames.shape == reader.frames_shape


def test_the_generator_alone_decides_random_clips(folder):
    reader = ClipReader(replace(OPTIONS, sampling="random"))
    first, second, third = (reader.read(str(folder), "a", np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.times_sec == second.times_sec != third.times_sec
    assert torch.equal(first.frames, second.frames)
    assert reader.read(str(folder), "a").times_sec == reader.read(str(folder), "a").times_sec


def test_the_window_of_an_item_wins_over_the_window_of_the_options(folder):
    reader = ClipReader(replace(OPTIONS, num_clips=1, window_sec=(1.0, 2.0)))
    assert reader.read(str(folder), "a").times_sec == ((1.25, 1.75),)
    assert reader.read(str(folder), "a", window_sec=(0.0, 1.0)).times_sec == ((0.25, 0.75),)


def test_a_reader_process_gives_the_same_clips_and_ends_when_closed(folder):
    guarded = ClipReader(replace(OPTIONS, reader_timeout_sec=60.0))
    expected = ClipReader(OPTIONS).read(str(folder), "a")
    for reader in (guarded, pickle.loads(pickle.dumps(guarded))):
        clips = reader.read(str(folder), "a")
        assert torch.equal(clips.frames, expected.frames) and clips.times_sec == expected.times_sec
        reader.close()


def test_an_image_is_one_clip_of_one_frame(folder):
    reader = ClipReader(ImageOptions(32))
    expected = resize_and_pad(read_image(folder / "picture.jpg", longest_side=32), 32)
    for clips in (reader.read(str(folder), "picture"), reader.read_source(folder / "picture.jpg")):
        assert clips.times_sec == () and torch.equal(clips.frames, expected[None, None])
    assert reader.frames_shape == (1, 1, 3, 32, 32) == tuple(reader.make_blank().frames.shape)
    assert reader.make_blank().times_sec == ()


def test_the_first_of_decoded_frames_is_an_image():
    frames = np.stack([draw_frame(3), draw_frame(9)])
    clips = ClipReader(ImageOptions(128)).read_source(DecodedVideo(frames))
    assert torch.equal(clips.frames[0, 0], pad_channels_last(torch.from_numpy(frames[0]), 128))


def test_errors_name_key_and_store(folder):
    reader = ClipReader(OPTIONS)
    with pytest.raises(MissingMediaError, match=f"'gone' in {folder}: the store has no such key"):
        reader.read(str(folder), "gone")
    with pytest.raises(NoVideoStreamError, match=f"'song' in {folder}: no video stream"):
        reader.read(str(folder), "song")
    with pytest.raises(NoVideoStreamError, match="'mine': no video stream"):
        reader.read_source(folder / "song.mp4", key="mine")


def test_the_backend_that_decoded_is_told(folder):
    served = []
    ClipReader(OPTIONS, served.append).read(str(folder), "a")
    assert served == ["pyav"]


def test_a_changed_medium_has_another_stamp_in_each_store(folder, tmp_path):
    reader = ClipReader(OPTIONS)
    path = write_video(tmp_path / "a.mp4", 4)
    before = reader.stamp(str(tmp_path), ["a", "gone"])
    path.write_bytes(path.read_bytes() + b"x")
    assert before[0] and before[1] == "" and reader.stamp(str(tmp_path), ["a"]) != before
    first = reader.stamp(str(write_lmdb(tmp_path / "first", {"a": b"1", "b": b"2"})), ["a", "b"])
    second = reader.stamp(str(write_lmdb(tmp_path / "second", {"a": b"9", "b": b"2"})), ["a", "b"])
    assert first[0] != second[0] and first[1] == second[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 0}, "image_size is 0; expected a whole number of at least 1"),
        ({"num_frames": True}, "num_frames is True"),
        ({"sampling": "unifrom"}, "sampling is 'unifrom' .did you mean 'uniform'"),
        ({"backend": "ffmpeg"}, "backend is 'ffmpeg'"),
        ({"fps": 3.0}, "give fps or clip_len_sec, not both"),
        ({"clip_len_sec": 0.0}, "clip_len_sec is 0.0; expected a number above 0"),
        ({"window_sec": (2.0, 1.0)}, "expected its start before its end"),
    ],
)
def test_a_value_out_of_range_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        replace(OPTIONS, **change)


def test_a_clip_lasts_as_configured_or_as_its_frames_or_a_second():
    assert ClipOptions(num_frames=4, fps=2.0).clip_duration_sec == 2.0
    assert ClipOptions(clip_len_sec=3.0).clip_duration_sec == 3.0 and ClipOptions().clip_duration_sec == 1.0


@pytest.mark.parametrize("timeout_sec", [None, 60.0])
def test_a_decoder_of_ones_own_serves_what_no_other_can(tmp_path, monkeypatch, timeout_sec):
    path = tmp_path / "a.mp4"
    path.write_bytes(destroy_pictures(write_video(path, 24).read_bytes()))
    with pytest.raises(MediaError):
        ClipReader(OPTIONS).read_source(path)
    monkeypatch.setitem(BACKENDS, "drawing", read_by_drawing)
    tally = ServedTally()
    reader = ClipReader(replace(OPTIONS, backend="drawing", reader_timeout_sec=timeout_sec), tally)
    assert reader.read_source(path).frames.float().std() > 0
    assert tally.take() == {"drawing": 1}
    reader.close()
