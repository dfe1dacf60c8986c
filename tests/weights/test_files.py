"""Containers: every kind of file people hold is read, nothing in it runs, and damage is named."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from clipbert_mmf.weights.files import WeightsFileError, read_weights

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(2)}


class Malicious:
    def __reduce__(self):
        return (open, ("/tmp/clipbert_mmf_was_here", "w"))


def same(found: dict) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("wrap", [None, "model", "state_dict"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_pytorch_files_old_and_new(wrap, is_zip, tmp_path):
    content = {wrap: TENSORS, "epoch": 3} if wrap else TENSORS
    torch.save(content, tmp_path / "a.bin", _use_new_zipfile_serialization=is_zip)
    file = read_weights(tmp_path / "a.bin")
    assert same(file.tensors) and file.container.startswith("PyTorch")
    assert file.notes == ({"epoch": "3"} if wrap else {})


def test_safetensors_alone_and_in_a_sharded_folder(tmp_path):
    save_file(TENSORS, tmp_path / "a.anything")
    assert same(read_weights(tmp_path / "a.anything").tensors)
    folder = tmp_path / "bert"
    folder.mkdir()
    for number, name in enumerate(TENSORS):
        save_file({name: TENSORS[name]}, folder / f"model-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a.weight": "model-0.safetensors", "b": "model-1.safetensors"}}'
    )
    assert same(read_weights(folder).tensors)


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_of_arrays_as_detectron2_writes_them(protocol, tmp_path):
    arrays = {name: value.numpy() for name, value in TENSORS.items()}
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps({"model": arrays, "__author__": "Caffe2"}, protocol=protocol)
    )
    file = read_weights(tmp_path / "a.pkl")
    assert same(file.tensors) and file.notes == {"__author__": "Caffe2"}


def test_arrays_inside_a_pytorch_file(tmp_path):
    if not hasattr(torch.serialization, "safe_globals"):
        pytest.skip("this PyTorch cannot be told that arrays are safe")
    torch.save({"model": {name: value.numpy() for name, value in TENSORS.items()}}, tmp_path / "a.pth")
    assert same(read_weights(tmp_path / "a.pth").tensors)


def test_files_that_would_run_code_are_refused_and_do_not(tmp_path):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"model": Malicious()}))
    with pytest.raises(
        WeightsFileError, match=r"would run code when read and is refused: it asks for \w+\.open"
    ):
        read_weights(tmp_path / "evil.pkl")
    torch.save({"model": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(
        WeightsFileError, match=r"would run code when read and is refused: it asks for \w+\.open"
    ):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path.parent / "clipbert_mmf_was_here").exists()


@pytest.mark.parametrize(
    "evil",
    [
        b"\x80\x02cnumpy\nndarray\n(I1000000000000\ntR.",  # np.ndarray((10**12,))
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntU\x01btR.",
        b"\x80\x02cnumpy\ndtype\n(U\x01OtR.",
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of 2**31 entries
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00.",  # a terabyte of bytes
    ],
)
def test_a_pickle_cannot_ask_for_memory_or_objects(evil, tmp_path):
    (tmp_path / "evil.pkl").write_bytes(evil)
    with pytest.raises(WeightsFileError):
        read_weights(tmp_path / "evil.pkl")


def test_an_archive_that_unpacks_to_more_than_itself_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 1_000_000)
    with pytest.raises(WeightsFileError, match="unpacks to more than its size"):
        read_weights(tmp_path / "bomb.pth")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"hello there, no weights", "is neither a PyTorch, safetensors nor pickle file"),
        (pickle.dumps([1, 2]), "holds a list, not a mapping"),
        (pickle.dumps({"model": {"x": "text"}}), "holds no state dict; it has"),
    ],
)
def test_other_files_are_named_for_what_they_are(content, message, tmp_path):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsFileError, match=message):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "pickle"])
def test_truncated_files_are_said_to_be_so(kind, tmp_path):
    path = tmp_path / "a"
    if kind == "safetensors":
        save_file(TENSORS, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"model": {"a": np.ones(40)}}))
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(WeightsFileError, match="truncated or damaged"):
        read_weights(path)


def test_missing_files_and_empty_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pth': no such file"):
        read_weights(tmp_path / "none.pth")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.ckpt").write_bytes(b"x")
    with pytest.raises(
        WeightsFileError, match="is the folder of a run; give one of its states, .*/run/best.ckpt"
    ):
        read_weights(tmp_path / "run")
    with pytest.raises(WeightsFileError, match="a folder without weights; expected one of model.safetensors"):
        read_weights(tmp_path)


def test_an_index_that_names_files_that_are_not_there(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "../secret", "b": "two.safetensors"}}'
    )
    with pytest.raises(WeightsFileError, match="names files that are not there: secret, two.safetensors"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(WeightsFileError, match="is damaged: it has no map of names to files"):
        read_weights(tmp_path)


def test_what_a_run_stored_beside_its_weights_is_kept(tmp_path):
    torch.save({"model": TENSORS, "config": {"model": "clipbert"}, "num_updates": 4}, tmp_path / "a.ckpt")
    file = read_weights(tmp_path / "a.ckpt")
    assert file.config == {"model": "clipbert"} and file.notes == {"num_updates": "4"}
    save_file(TENSORS, tmp_path / "b.safetensors", {"format": "pt", "made_by": "someone"})
    assert read_weights(tmp_path / "b.safetensors").notes == {"made_by": "someone"}
