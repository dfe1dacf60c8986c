"""Reads named tensors from files and folders, without running any code that a file may hold.

It knows containers (PyTorch, safetensors, Detectron2 pickles, folders of Hugging Face), not networks.
``formats`` knows the meaning of the names.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.json_text import parse_json
from clipbert_mmf.weights.safe_pickle import ARRAY_GLOBALS, UnsafePickleError, load_pickle
from clipbert_mmf.weights.trained_with import TrainedWith, read_trained_with

#: Keys of a saved mapping that hold the tensors, in the order they are tried; "" is the mapping itself.
_CONTAINERS = ("model", "state_dict", "model_state_dict", "blobs", "")
#: Names of weights in a folder, in the order they are tried.
_FILES_OF_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
#: States in the folder of a run, the one that is meant most often first.
_FILES_OF_RUN = ("best.ckpt", "clipbert_final.pth", "current.ckpt")
_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


class WeightsFileError(ValueError):
    """A weights file cannot be read, or not be used for the part it was given for; the message says why."""


@dataclass
class WeightsFile:
    """The content of a file.

    Attributes:
        path: the file, or the folder.
        container: the way it is stored, in words.
        tensors: tensors by their names in the file.
        notes: other things the file says about itself (author, epoch, ...), as text.
        config: the configuration of the run that wrote it, where the file has it.
        trained_with: what the model was trained with, where the file says it.
    """

    path: Path
    container: str
    tensors: dict[str, Tensor]
    notes: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] | None = None
    trained_with: TrainedWith | None = None


def read_weights(path: str | Path) -> WeightsFile:
    """Read a file or a folder of weights.

    Args:
        path: ``.pth``, ``.pt``, ``.ckpt``, ``.bin``, ``.safetensors``, ``.pkl``, or a Hugging Face folder;
            the content decides, not the ending.

    Raises:
        FileNotFoundError: if nothing is there.
        WeightsFileError: if it is not a weights file, is truncated, or needs code to be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file '{path}': no such file")
    container, content = _read_file(path)
    tensors, notes = _split_content(content, path)
    config = content.get("config")
    try:
        trained_with = read_trained_with(content)
    except ValueError as error:
        raise WeightsFileError(f"{path}: {error}") from error
    return WeightsFile(
        path, container, tensors, notes, config if isinstance(config, dict) else None, trained_with
    )


def list_files(path: str | Path) -> list[Path]:
    """Return the files that ``read_weights`` reads: the file itself, or those of a folder.

    Raises:
        WeightsFileError: if it is a folder without weights, or one whose index is damaged.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        return [path]
    for name in _FILES_OF_FOLDER:
        if (path / name).is_file():
            return _list_shards(path, name) if name.endswith(".index.json") else [path / name]
    states = [name for name in _FILES_OF_RUN if (path / name).is_file()]
    if states:
        raise WeightsFileError(f"{path} is the folder of a run; give one of its states, {path / states[0]}")
    raise WeightsFileError(
        f"{path} is a folder without weights; expected one of {', '.join(_FILES_OF_FOLDER)} in it"
    )


def _list_shards(folder: Path, index: str) -> list[Path]:
    try:
        shards = sorted(set(parse_json((folder / index).read_text(encoding="utf-8"))["weight_map"].values()))
        files = [folder / Path(shard).name for shard in shards]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsFileError(
            f"{folder / index} is damaged: it has no map of names to files ({error})"
        ) from error
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise WeightsFileError(f"{folder / index} names files that are not there: {', '.join(missing[:4])}")
    return files


def _read_folder(folder: Path) -> WeightsFile:
    files = list_files(folder)
    tensors: dict[str, Tensor] = {}
    notes: dict[str, str] = {}
    for file in files:
        found, said = _split_content(_read_file(file)[1], file)
        tensors.update(found)
        notes.update(said)
    what = files[0].name if len(files) == 1 else f"{len(files)} files such as {files[0].name}"
    return WeightsFile(folder, f"folder with {what}", tensors, notes)


def _read_file(path: Path, may_map: bool = True) -> tuple[str, Any]:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise WeightsFileError(f"{path} is empty")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsFileError(
            f"{path} is a pointer of Git LFS, not the weights; fetch them with 'git lfs pull'"
        )
    if head.lstrip()[:1] == b"<":
        raise WeightsFileError(f"{path} is a web page, not weights; the download went wrong")
    try:
        if head.startswith(b"PK"):
            return "PyTorch", _read_torch(path, is_zip=True, may_map=may_map)
        if head.startswith(_TORCH_LEGACY):
            return "PyTorch (before 1.6)", _read_torch(path, is_zip=False)
        if head[8:9] == b"{":
            return "safetensors", _read_safetensors(path)
        if head[:1] == b"\x80":
            return "pickle", load_pickle(path)
    except UnsafePickleError as error:
        raise WeightsFileError(f"{path} would run code when read and is refused: {error}") from error
    except WeightsFileError:
        raise
    except Exception as error:  # readers raise any error on damaged bytes
        asked = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", str(error))
        if asked:  # PyTorch's safe reader, of objects that are not tensors
            raise WeightsFileError(
                f"{path} would run code when read and is refused: it asks for {asked[1]}. If you trust its "
                f"writer, "
                f"save its state dict alone where that code is installed: "
                f"torch.save(torch.load(path, weights_only=False)['model'], new_path)"
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsFileError(
            f"{path} cannot be read, it is truncated or damaged or needs code: {reason}"
        ) from error
    raise WeightsFileError(
        f"{path} is neither a PyTorch, safetensors nor pickle file (it begins with {head[:8]!r})"
    )


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read the checkpoint of a run, with all that it holds beside weights, without running code that it may hold.

    Args:
        path: a file that PyTorch wrote.

    Returns:
        The saved mapping; tensors are on the CPU.

    Raises:
        FileNotFoundError: if nothing is there.
        WeightsFileError: if it is no checkpoint, is truncated, or needs code to be read.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint '{path}': no such file")
    # In memory: a run goes on for days, and a mapped file must not change meanwhile.
    content = _read_file(path, may_map=False)[1]
    if not isinstance(content, dict):
        raise WeightsFileError(f"{path} holds a {type(content).__name__}; expected the checkpoint of a run")
    return content


def _read_torch(path: Path, is_zip: bool, may_map: bool = True) -> Any:
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            # PyTorch stores without compression; an archive that unpacks to more than itself was made to fill
            # memory.
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise WeightsFileError(f"{path} unpacks to more than its size; refused")
    with _allow_arrays():
        # Mapped files cost no memory until a tensor is used.
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=(is_zip and may_map) or None)


def _allow_arrays() -> contextlib.AbstractContextManager[Any]:
    make = getattr(torch.serialization, "safe_globals", None)
    return make(list(ARRAY_GLOBALS)) if make else contextlib.nullcontext()


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, "pt") as file:
            metadata = {key: value for key, value in (file.metadata() or {}).items() if key != "format"}
        return {**metadata, "state_dict": load_file(path)}
    except SafetensorError as error:
        raise WeightsFileError(
            f"{path} cannot be read as safetensors, it is truncated or damaged: {error}"
        ) from error


def _split_content(content: Any, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a saved mapping, and the rest of it as notes."""
    if not isinstance(content, dict):
        raise WeightsFileError(f"{path} holds a {type(content).__name__}, not a mapping of names to tensors")
    for key in _CONTAINERS:
        inner = content.get(key) if key else content
        if isinstance(inner, dict):
            tensors = dict(_find_tensors(inner))
            if tensors:
                notes = {} if not key else dict(_describe({k: v for k, v in content.items() if k != key}))
                return tensors, notes
    raise WeightsFileError(f"{path} holds no state dict; it has {sorted(map(str, content))[:8]}")


def _find_tensors(mapping: dict) -> Iterator[tuple[str, Tensor]]:
    for name, value in mapping.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            value = torch.from_numpy(np.array(value))
        if isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided:
            yield name, value.detach()


def _describe(content: dict) -> Iterator[tuple[str, str]]:
    for name, value in content.items():
        if isinstance(value, (str, int, float, bool)):
            yield str(name), str(value)[:200]
        elif isinstance(value, dict) and name == "meta":
            yield from (
                (f"meta.{k}", str(v)[:200]) for k, v in value.items() if isinstance(v, (str, int, float))
            )


def with_one_head(file: WeightsFile, name: str, names: Iterable[str]) -> WeightsFile:
    """Return a file of several heads with one of them.

    Args:
        file: has tensors ``head.<name>.*`` for several names.
        name: the head to keep; its tensors become ``head.*``.
        names: names of all datasets.
    """
    names, tensors = list(names), dict[str, Tensor]()
    for key, value in file.tensors.items():
        owner = next((one for one in names if f".head.{one}." in f".{key}"), None)
        if owner in (None, name):
            tensors[key if owner is None else key.replace(f"head.{name}.", "head.", 1)] = value
    return replace(file, tensors=tensors)
