"""Files of a checkpoint are whole or not there, and damage is told."""

import os
import zipfile

import pytest
import torch

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training import checkpoint_files
from clipbert_mmf.training.checkpoint_files import (
    copy_atomically,
    find_damage,
    find_newest_whole,
    give_second_name,
    refuse_damaged,
    save_atomically,
    unshare,
)
from clipbert_mmf.writing import WriteError


def test_a_save_that_breaks_off_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "current.ckpt"
    save_atomically({"num_updates": 1}, path)

    def break_off(state, file):
        file.write(b"half a checkpoint")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_files.torch, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        save_atomically({"num_updates": 2}, path)
    monkeypatch.undo()
    assert torch.load(path) == {"num_updates": 1}


def test_a_second_name_shares_its_bytes_and_a_copy_does_not(tmp_path):
    source, linked, copied = (tmp_path / name for name in ("model_1.ckpt", "best.ckpt", "other.ckpt"))
    source.write_bytes(b"one")
    give_second_name(source, linked)
    copy_atomically(source, copied)
    assert linked.samefile(source) and not copied.samefile(source)
    unshare(linked)
    source.write_bytes(b"two")  # MMF's own trainer writes into the file that is there
    assert linked.read_bytes() == copied.read_bytes() == b"one"


def test_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"one")
    give_second_name(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"one" and not (tmp_path / "b").samefile(tmp_path / "a")


def test_a_full_disk_is_told_with_the_file_and_the_space_that_is_left(tmp_path):
    path = tmp_path / "current.ckpt"
    path.symlink_to("/dev/full")
    (tmp_path / "current.ckpt.part").symlink_to("/dev/full")
    with pytest.raises(
        WriteError, match=r"current.ckpt could not be written: No space left on device; .* MiB are free"
    ):
        save_atomically({"model": {"weight": torch.zeros(200_000)}}, path)
    assert not (tmp_path / "current.ckpt.part").exists()


def damage(path, kind):
    data = path.read_bytes()
    if kind == "flipped":
        with zipfile.ZipFile(path) as archive:
            place = next(info.header_offset for info in archive.infolist() if info.file_size >= 4000) + 2000
        data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "other": b"a text" * 200}.get(kind, data))


@pytest.mark.parametrize(
    "kind, told",
    [
        ("empty", "is empty"),
        ("cut", "is cut off"),
        ("other", "is cut off, or no checkpoint"),
        ("flipped", "its part .* is damaged"),
        ("weightless", "holds no weights"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_newest_whole_one_offered(tmp_path, kind, told):
    (tmp_path / "models").mkdir()
    state = {"model": {"weight": torch.zeros(1000)}}
    for update in (2, 4, 6):
        save_atomically({**state, "num_updates": update}, tmp_path / "models" / f"model_{update}.ckpt")
    current = tmp_path / "current.ckpt"
    save_atomically({**state, "num_updates": 6} if kind != "weightless" else {"a": 1}, current)
    refuse_damaged(tmp_path / "models" / "model_2.ckpt", tmp_path)
    damage(current, kind)
    damage(tmp_path / "models" / "model_6.ckpt", "cut")
    offered = tmp_path / "models" / "model_4.ckpt"
    with pytest.raises(
        ConfigurationError,
        match=f"current.ckpt is damaged: it.* {told}.*of update 4: .*checkpoint.resume_file={offered}"
        if kind != "flipped"
        else f"current.ckpt is damaged: {told}.*checkpoint.resume_file={offered}",
    ):
        refuse_damaged(current, tmp_path)
    assert find_damage(offered) is None and find_newest_whole(tmp_path) == (4, offered)


def test_a_run_without_a_whole_state_is_begun_anew(tmp_path):
    (tmp_path / "current.ckpt").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="no other state of the run is whole: .*env.overwrite=true"):
        refuse_damaged(tmp_path / "current.ckpt", tmp_path)
