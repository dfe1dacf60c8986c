"""Rows about parts of one video: each is read from its own part, and a bad part leaves the others."""

import json

import pytest

from tests.encoded_media import read_number, write_video
from tests.own_tables import build_split, write_table

#: Start and end of each row; the video is 4 s long, 6 frames a second.
WINDOWS = [("0", "1"), ("1.0", "2"), ("00:00:02", "0:03"), ("3", ""), ("", ""), ("3.5", "9"), ("50", "60")]
NUM_FRAMES, FPS = 24, 6
#: Words of the tokenizer, one for each row.
WORDS = ("red", "green", "blue", "yellow", "small", "large", "left")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One long video; each of its rows is in each split."""
    folder = tmp_path_factory.mktemp("segments")
    (folder / "videos").mkdir()
    write_video(folder / "videos" / "long.mp4", NUM_FRAMES, fps=FPS)
    rows = [
        ("long.mp4", f"a {WORDS[n]} circle", "what color", "red", "red|blue", start, end, split)
        for n, (start, end) in enumerate(WINDOWS)
        for split in ("train", "val", "test")
    ]
    for name, columns in (
        ("texts", (0, 1, 5, 6, 7)),
        ("questions", (0, 2, 3, 5, 6, 7)),
        ("choices", (0, 2, 3, 4, 5, 6, 7)),
    ):
        header = ["video", "text", "question", "answer", "options", "start_sec", "end_sec", "split"]
        write_table(
            folder / f"{name}.csv",
            " ".join(header[column] for column in columns),
            [[row[column] for column in columns] for row in rows],
        )
    return folder


def seconds_seen(sample):
    """Return the times of all frames of a sample that its pictures show."""
    return [read_number(frame[:, :64].numpy()) / FPS for frame in sample.frames.flatten(0, 1)]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("task", "table"), [("retrieval", "texts"), ("open_ended", "questions"), ("multiple_choice", "choices")]
)
def test_each_row_is_read_from_its_own_part(folder, tokenizer_dir, task, table, split, caplog):
    dataset = build_split(folder, tokenizer_dir, split, save=table, task=task, file=f"{table}.csv")
    maker = dataset.maker
    assert len(dataset) == len(WINDOWS) and maker.num_media == 1
    for item in range(len(dataset)):
        sample, window = dataset[item], maker.window_sec(item)
        assert window == maker.records[int(maker.rows(item)[0])].window_sec
        if window == (50.0, 60.0):
            assert int(sample.num_replaced) > 0 if split == "train" else not int(sample.readable)
            continue
        start, end = window or (0.0, 4.0)
        assert int(sample.readable) and int(sample.item_index) == item
        assert all(start - 0.2 < time < min(end, 4.0) for time in seconds_seen(sample))
        if split == "val":
            assert (sample.clip_times_sec >= start).all() and (sample.clip_times_sec <= min(end, 4.0)).all()
    # The part that does not exist is named with its row; it does not make the video bad.
    assert dataset.failures.num_broken == 1
    assert caplog.text.count("'long' from 50 to 60 s (text ") == 1
    assert caplog.text.count("is cut to it") == 1


def test_predictions_of_retrieval_are_of_parts(folder, tokenizer_dir):
    dataset = build_split(folder, tokenizer_dir, "test", file="texts.csv")
    matches = dataset.maker.match_matrix()
    assert matches.shape == (len(WINDOWS), len(WINDOWS)) and matches.sum() == len(WINDOWS)
    parts = [dataset.maker.window_sec(item) for item in range(len(dataset))]
    assert len(set(parts)) == len(WINDOWS) and parts[4] is None


def test_a_later_run_remembers_the_part_and_not_the_video(folder, tokenizer_dir):
    build_split(folder, tokenizer_dir, "train", save="texts", file="texts.csv")[len(WINDOWS) - 1]
    (list_file,) = (folder / "texts").glob("unreadable_*.jsonl")
    entries = [json.loads(line) for line in list_file.read_text().splitlines()]
    assert {(entry["key"], *entry["segment_sec"]) for entry in entries} == {("long", 50.0, 60.0)}
    later = build_split(folder, tokenizer_dir, "train", save="texts", file="texts.csv")
    assert later.failures.num_broken == 1 and int(later[0].num_replaced) == 0
