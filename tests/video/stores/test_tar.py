"""Tar shards are read at random through their index."""

import resource
import tarfile

import pytest

from clipbert_mmf.video.errors import MissingMediaError, StoreError, TruncatedMediaError
from clipbert_mmf.video.stores.open import open_store
from tests.video.stores.conftest import write_tar


def test_the_index_of_a_shard_is_kept_and_made_anew_when_the_shard_changes(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1"})
    assert open_store(shard).keys() == ["one"]
    assert (tmp_path / "s" / "a.tar.index").is_file()
    write_tar(shard, {"one.mp4": b"first", "two.mp4": b"second"})
    store = open_store(tmp_path / "s")
    assert store.keys() == ["one", "two"] and store.read("two") == b"second"


def test_a_broken_index_is_made_anew(tmp_path, caplog):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1"})
    (tmp_path / "s" / "a.tar.index").write_text("{half")
    assert open_store(shard).read("one") == b"1"
    assert "is broken; made anew" in caplog.text


def test_a_compressed_tar_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("one.mp4"))
    with pytest.raises(StoreError, match="compressed ones cannot be read at random"):
        open_store(path).keys()


def test_a_shard_cut_short_names_itself(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1" * 5000})
    store = open_store(shard)
    store.keys()
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(TruncatedMediaError, match="a.tar ends before its index"):
        store.read("one")


def test_a_pattern_chooses_shards(stores):
    assert len(open_store(stores["tar"] / "part-*.tar")) == 4
    assert open_store(stores["tar"] / "part-001.tar").keys() == ["x/y/z/deep", "x/žluť"]


@pytest.fixture
def few_open_files():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_more_shards_than_files_may_be_open_are_read(tmp_path, few_open_files):
    for number in range(300):
        write_tar(tmp_path / "s" / f"{number:03d}.tar", {f"v{number:03d}.mp4": b"%d" % number})
    store = open_store(tmp_path / "s")
    assert [store.read(f"v{number:03d}") for number in range(300)] == [b"%d" % n for n in range(300)]
    assert store.find_damage() == {}


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 100, b"\x1f\x8b" + b"x" * 2000])
def test_a_broken_shard_among_good_ones_is_named_and_the_others_are_read(tmp_path, caplog, content):
    for number in range(3):
        write_tar(tmp_path / "s" / f"{number}.tar", {f"v{number}.mp4": b"%d" % number})
    (tmp_path / "s" / "1.tar").write_bytes(content)
    for _ in range(2):
        store = open_store(tmp_path / "s")
        assert store.read("v0") == b"0" and store.read("v2") == b"2" and len(store) == 2
        assert list(store.find_damage()) == [str(tmp_path / "s" / "1.tar")]
        with pytest.raises(MissingMediaError, match="damaged shard .*1.tar"):
            store.read("v1")
    assert "1.tar" in caplog.text


def _write_three(path):
    write_tar(path, {f"v{number}.mp4": b"x" * 1000 for number in range(3)})
    return bytearray(path.read_bytes())


@pytest.mark.parametrize(
    ("damage", "num_keys", "reason"),
    [
        ("cut at a header", 2, "after 2 members: it is cut: the end mark is missing"),
        ("cut in a header", 2, "after 2 members: it is cut inside a header"),
        ("zeros over a header", 1, "after 1 members: a header is empty and more data follows"),
        ("noise over a header", 1, "after 1 members: a header is unreadable"),
        ("cut in the last member", 3, "after 3 members: unexpected end of data"),
    ],
)
def test_a_damaged_tar_says_how_many_members_were_read(tmp_path, caplog, damage, num_keys, reason):
    shard = tmp_path / "s" / "a.tar"
    data = _write_three(shard)
    member = 512 + 1024
    if damage == "cut at a header":
        data = data[: 2 * member]
    elif damage == "cut in a header":
        data = data[: 2 * member + 100]
    elif damage == "zeros over a header":
        data[member : member + 512] = bytes(512)
    elif damage == "noise over a header":
        data[member : member + 512] = b"\x5a" * 512
    else:
        data = data[: 2 * member + 600]
    shard.write_bytes(data)
    for _ in range(2):
        # The second time from the index.
        store = open_store(shard)
        assert len(store) == num_keys and reason in store.find_damage()[str(shard)]
        assert store.read("v0") == b"x" * 1000
    assert reason in caplog.text


def test_a_whole_tar_with_padding_behind_its_end_is_not_damaged(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    shard.parent.mkdir()
    shard.write_bytes(_write_three(tmp_path / "b.tar") + bytes(50000))
    assert open_store(shard).find_damage() == {} and len(open_store(shard)) == 3


def test_the_last_of_equal_members_counts_and_is_told(tmp_path, caplog):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"old"})
    with tarfile.open(shard, "a") as archive:
        archive.add(_write_file(tmp_path / "one.mp4", b"new"), "one.mp4")
    assert open_store(shard).read("one") == b"new"
    assert (
        caplog.text.count(
            "members are there more than once in their shard, the last counts; for example 'one.mp4'"
        )
        == 1
    )


def _write_file(path, data):
    path.write_bytes(data)
    return path


def test_a_member_is_stamped_by_its_shard_and_place(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1", "two.mp4": b"2"})
    store = open_store(shard)
    one, two = store.stamp("one"), store.stamp("two")
    assert one and one != two and store.stamp("gone") == ""
    write_tar(shard, {"one.mp4": b"9", "two.mp4": b"2"})
    assert open_store(shard).stamp("one") != one


def test_a_pattern_below_folders_with_special_letters_finds_their_shards_alone(tmp_path, monkeypatch):
    for folder in ("x[ab]", "xa", "x*?"):
        (tmp_path / folder / "videos").mkdir(parents=True)
        write_tar(tmp_path / folder / "videos" / "0.tar", {f"{folder[1:2]}.mp4": b"bytes"})
    assert open_store(tmp_path / "x[ab]" / "videos" / "*.tar").keys() == ["["]
    assert open_store(tmp_path / "x*?" / "videos" / "?.tar").keys() == ["*"]
    assert open_store(tmp_path / "x[ab]" / "v*" / "*.tar").keys() == ["["]
    monkeypatch.chdir(tmp_path / "x[ab]")
    assert open_store("videos/*.tar").keys() == ["["]
    assert open_store("*/*.tar").keys() == ["["]
