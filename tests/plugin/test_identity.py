"""Random folders: table, check, build, training and predictions see the same media under the same names."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
import torch
from mmf.common.sample import SampleList

from clipbert_mmf.video.check import check_into_folder
from clipbert_mmf.video.endings import strip_ending
from clipbert_mmf.video.errors import AmbiguousNameError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import draw_frame, read_number, write_frames_as_video
from tests.own_tables import build_split, write_table

STEMS = ["1", "2", "clip.a", "žluť", "a b", "v_x-1"]
FOLDERS = ["red", "blue", "žluť", "a.b", "x y", "1"]
ENDINGS = [".mp4", ".MP4", ".avi", ".webm", ".mts", ".ogv", ".gif"]
SIDE_FILES = [".jpg", ".txt", ".en.vtt", ".info.json", ".description", ".m4a", ".wav"]
WORDS = [
    "red",
    "green",
    "blue",
    "yellow",
    "circle",
    "square",
    "triangle",
    "star",
    "left",
    "right",
    "top",
    "bottom",
    "black",
    "white",
    "man",
    "dog",
]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """Bytes of videos of one picture that shows the number of the video; decoders do not look at the ending."""
    folder = tmp_path_factory.mktemp("encoded")
    return [
        write_frames_as_video(folder / f"{number}.mp4", [draw_frame(number)] * 2).read_bytes()
        for number in range(len(WORDS))
    ]


def write_tree(root, rng, encoded):
    """Write random videos, side files and links; return path -> number of each video."""
    files = {}
    for number, data in enumerate(encoded):
        depth = int(rng.integers(0, 3))
        folder = "/".join(str(rng.choice(FOLDERS)) for _ in range(depth))
        name = str(rng.choice(STEMS)) + str(rng.choice(ENDINGS))
        path = f"{folder}/{name}" if folder else name
        if any(unicodedata.normalize("NFC", path) == unicodedata.normalize("NFC", other) for other in files):
            continue
        if rng.random() < 0.3:
            path = unicodedata.normalize("NFD", path)
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        files[path] = number
        for ending in rng.choice(SIDE_FILES, 2, replace=False):
            place.with_name(strip_ending(place.name) + str(ending)).write_bytes(b"beside")
    folders = sorted({root, *(path.parent for path in root.rglob("*") if path.is_file())})
    for number in range(3):
        folder, target = folders[int(rng.integers(len(folders)))], folders[int(rng.integers(len(folders)))]
        (folder / f"link{number}").symlink_to(target)
    (root / os_name(b"caf\xe9.mp4")).write_bytes(encoded[0])
    return files


def os_name(name: bytes) -> str:
    """Return a file's name that is no UTF-8."""
    return name.decode("utf-8", "surrogateescape")


def compose(name):
    return unicodedata.normalize("NFC", name)


def expect_keys(files):
    """Return path -> key by the rule: the path without its ending, with it where two differ in nothing else."""
    stems = [strip_ending(compose(path)) for path in files]
    return {
        path: stem if stems.count(stem) == 1 else compose(path)
        for path, stem in zip(files, stems, strict=True)
    }


def expect_short(name, files):
    """Return the paths that end in a name without its ending."""
    return [path for path in files if strip_ending(compose(path)).endswith(f"/{strip_ending(compose(name))}")]


@pytest.mark.parametrize("seed", range(8))
def test_everything_sees_the_same_media(tmp_path, tokenizer_dir, encoded, seed):
    rng = np.random.default_rng(seed)
    root = tmp_path / "videos"
    root.mkdir()
    files = write_tree(root, rng, encoded)
    keys = expect_keys(files)
    store = open_store(root)
    assert store.keys() == sorted(keys.values())
    check_names(store, root, files, keys)

    for kind in ("lmdb", "tar", "folder"):
        report = build_store(store, tmp_path / kind, kind)
        built = open_store(tmp_path / kind)
        assert (report.num_written, report.failed) == (len(files), {}) and built.keys() == store.keys()
        for path, key in keys.items():
            found = built.read(key)
            assert not isinstance(found, FrameFolder)
            assert (found if isinstance(found, bytes) else found.read_bytes()) == encoded[files[path]]
            assert built.resolve(path) == key

    forms = [
        lambda path: path,
        lambda path: path.replace("/", "\\"),
        lambda path: f"./{path}",
        lambda path: unicodedata.normalize("NFD", path),
        lambda path: keys[path],
        # These go through the folder itself.
        lambda path: str(root / path),
        lambda path: f"videos/{path}",
    ]
    for place in ("videos", "lmdb", "tar"):
        num_forms = len(forms) if place == "videos" else len(forms) - 2
        rows = [
            (forms[int(rng.integers(num_forms))](path), f"a {WORDS[number]} thing", split)
            for path, number in files.items()
            for split in ("train", "val", "test")
        ]
        write_table(tmp_path / "annotations.csv", "video text split", rows)
        media = dict.fromkeys(("train", "val", "test"), place)
        for split in ("train", "test"):
            dataset = build_split(tmp_path, tokenizer_dir, split, save=f"{place}_{split}", media=media)
            maker = dataset.maker
            assert [maker.media_key(item) for item in range(len(dataset))] == list(keys.values())
            for item, number in enumerate(files.values()):
                sample = dataset[item]
                assert (
                    int(sample.item_index) == item
                    and read_number(sample.frames[0, 0, :, :64].numpy()) == number
                )
        records = dataset.format_for_prediction(report_of(dataset))
        assert [record["media_id"] for record in records] == list(keys.values())
        assert all(record["readable"] and record["segment_sec"] is None for record in records)
    if seed < 2:
        totals = check_into_folder(str(root), tmp_path / "check")
        assert (totals.num_media, totals.num_bad) == (len(files), 0)
        found = json.loads((tmp_path / "check" / "report.json").read_text())["media"]
        assert sorted(one["key"] for one in found) == store.keys()


def check_names(store, root, files, keys):
    """Check every way of writing a name against the rule."""
    for path, key in keys.items():
        for name in (path, str(root / path), path.replace("/", "\\"), compose(path), f"videos/{path}", key):
            assert store.resolve(name) == key
        short = path[path.rfind("/") + 1 :]
        exact = [other for other in files if strip_ending(compose(other)) == strip_ending(compose(short))]
        fitting = exact or expect_short(short, files)
        same_ending = [other for other in fitting if compose(other).endswith(compose(short))]
        chosen = same_ending if same_ending else fitting
        if len(chosen) == 1:
            assert store.resolve(short) == keys[chosen[0]]
        else:
            with pytest.raises(AmbiguousNameError) as error:
                store.resolve(short)
            assert all(other in str(error.value) for other in chosen)
    for link in (place for place in root.rglob("link?") if place.is_symlink()):
        for path, key in keys.items():
            if (root / path).is_relative_to(link.resolve()):
                through = link / (root / path).relative_to(link.resolve())
                for name in (str(through), str(through.relative_to(root))):
                    assert store.resolve(name) == key == store.resolve(name.replace("/", "\\"))
    assert store.resolve("nowhere/1.mp4") is None or all("/" not in path for path in files)


def report_of(dataset):
    """Return what a model's evaluation would report of all items: all scores 0."""
    num_items = len(dataset)
    report = SampleList()
    report.item_index = torch.arange(num_items)
    report.readable = torch.ones(num_items, dtype=torch.int64)
    report.targets = dataset.maker.match_matrix()
    report.scores = torch.zeros(num_items * report.targets.shape[1], 2)
    report.clip_scores = torch.zeros(len(report.scores), 2, 2)
    return report


def test_a_short_name_that_stands_for_several_is_an_error_at_start(tmp_path, tokenizer_dir, encoded):
    for colour in ("red", "blue"):
        (tmp_path / "videos" / colour).mkdir(parents=True)
        (tmp_path / "videos" / colour / "4.mp4").write_bytes(encoded[0])
    write_table(
        tmp_path / "annotations.csv",
        "video text split",
        [("4.mp4", "a red circle", "val"), ("gone", "a dog", "val")],
    )
    with pytest.raises(
        ValueError, match=r"annotations.val: 1 names .*'4.mp4': .*'blue/4.mp4', 'red/4.mp4'; write the path"
    ):
        build_split(tmp_path, tokenizer_dir, "val")


def test_two_paths_never_become_one_file(tmp_path, tokenizer_dir, encoded):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "4.mp4").write_bytes(encoded[0])
    rows = [("red/4.mp4", "a red circle", "val"), ("blue/4.mp4", "a blue circle", "val")]
    write_table(tmp_path / "annotations.csv", "video text split", rows)
    with pytest.raises(ValueError, match="'red/4.mp4' and 'blue/4.mp4' are two paths"):
        build_split(tmp_path, tokenizer_dir, "val")


@pytest.fixture()
def ten_videos(tmp_path, encoded):
    """Ten videos in two folders, one with an accent, with a link to one of the folders."""
    paths = [f"{'red' if n % 2 else 'blué'}/v{n}.mp4" for n in range(10)]
    for number, path in enumerate(paths):
        place = tmp_path / "videos" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded[number])
    (tmp_path / "videos" / "again").symlink_to("red")
    return paths


def spell(root, path, number):
    """Return a way to write a path; the ways of two consecutive numbers differ."""
    return [
        path,
        str(root / path),
        path.removesuffix(".mp4"),
        path.split("/")[-1],
        f"videos/{path}",
        unicodedata.normalize("NFD", path),
        path.replace("red/", "again/").replace("/", "\\"),
        str(root / path.replace("red/", "again/")),
    ][number % 8]


def list_media(dataset):
    return {dataset.maker.media_key(item) for item in range(len(dataset))}


def test_a_division_without_split_never_parts_one_video_that_is_written_in_several_ways(
    tmp_path, tokenizer_dir, ten_videos
):
    rows = [
        (spell(tmp_path / "videos", path, number + way), f"a {WORDS[number]} thing")
        for way in range(8)
        for number, path in enumerate(ten_videos)
    ]
    write_table(tmp_path / "annotations.csv", "video text", rows)
    parts = [list_media(build_split(tmp_path, tokenizer_dir, split)) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [8, 1, 1]
    assert len(set.union(*parts)) == 10


def test_a_division_does_not_change_with_the_folders_of_the_files(
    tmp_path, tokenizer_dir, ten_videos, encoded
):
    write_table(
        tmp_path / "annotations.csv", "video text", [(f"v{n}", f"a {WORDS[n]} thing") for n in range(10)]
    )
    (tmp_path / "flat").mkdir()
    for number in range(10):
        (tmp_path / "flat" / f"v{number}.mp4").write_bytes(encoded[number])
    flat = dict.fromkeys(("train", "val", "test"), "flat")
    for split in ("val", "test"):
        (nested,) = list_media(build_split(tmp_path, tokenizer_dir, split))
        assert {nested.split("/")[-1]} == list_media(build_split(tmp_path, tokenizer_dir, split, media=flat))


@pytest.mark.parametrize("share", [[0.0, 0.5], [0.5, 1.0]])
def test_shares_exclusions_and_drawn_texts_go_by_the_video_and_not_by_its_name(
    tmp_path, tokenizer_dir, ten_videos, share
):
    root = tmp_path / "videos"
    rows = [
        (spell(root, path, number + way), f"a {WORDS[number]} thing {way}", "train")
        for way in range(3)
        for number, path in enumerate(ten_videos)
    ]
    write_table(tmp_path / "annotations.csv", "video text split", rows)
    write_table(tmp_path / "left_out.csv", "clip note", [(str(root / ten_videos[3]), "x"), ("v4", "y")])
    source = {"file": "annotations.csv", "split": ["train"]}

    def load(**keys):
        sources = {"train": [{**source, **keys}], "val": [source], "test": [source]}
        return build_split(tmp_path, tokenizer_dir, "train", annotations=sources)

    assert list_media(load(exclude="left_out.csv")) == {
        path.removesuffix(".mp4") for n, path in enumerate(ten_videos) if n not in (3, 4)
    }
    assert list_media(load(only="left_out.csv")) == {"red/v3", "blué/v4"}
    part = load(share=share).maker
    assert part.groups.counts.tolist() == [3] * part.num_media
    assert len(load(num_texts=10).maker.records) == 10


def test_a_list_whose_names_fit_nothing_is_told(tmp_path, tokenizer_dir, ten_videos, caplog):
    write_table(
        tmp_path / "annotations.csv", "video text split", [("v1", "a dog", "train"), ("v2", "a man", "train")]
    )
    (tmp_path / "left_out.txt").write_text("w1\n")
    source = {"file": "annotations.csv", "split": ["train"]}
    sources = {"train": [{**source, "exclude": "left_out.txt"}], "val": [source], "test": [source]}
    build_split(tmp_path, tokenizer_dir, "train", annotations=sources)
    assert "none of the 1 names in" in caplog.text and "annotations.train[0].exclude" in caplog.text


def test_a_split_that_is_not_used_may_have_a_store_that_cannot_be_opened(tmp_path, tokenizer_dir, ten_videos):
    write_table(tmp_path / "annotations.csv", "video text", [(path, "a dog") for path in ten_videos])
    (tmp_path / "broken.tar").write_bytes(b"no tar")
    media = {"train": "broken.tar", "val": "videos", "test": "videos"}
    assert len(list_media(build_split(tmp_path, tokenizer_dir, "val", media=media))) == 1
