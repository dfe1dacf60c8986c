"""Writes the files of a checkpoint so that a kill or a full disk leaves the old ones whole, and checks them."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.run_folder import list_numbered
from clipbert_mmf.writing import replacing


def save_atomically(state: Any, path: str | os.PathLike[str]) -> None:
    """Write a file under another name and rename it.

    A process killed meanwhile leaves the old one as it was.

    Raises:
        WriteError: if the file cannot be written.
    """
    path = Path(path)
    with replacing(path) as partial, open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def give_second_name(source: Path, target: Path) -> None:
    """Give a file's content a second name; the bytes are shared where the file system can.

    Raises:
        WriteError: if the file cannot be written.
    """
    with replacing(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            _copy(source, partial)


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file; nothing that is written into one of the two later changes the other.

    Raises:
        WriteError: if the file cannot be written.
    """
    with replacing(target) as partial:
        partial.unlink(missing_ok=True)
        _copy(source, partial)


def unshare(path: Path) -> None:
    """Give a file bytes of its own: MMF's own trainer writes into the file that is there."""
    if path.is_file() and path.stat().st_nlink > 1:
        copy_atomically(path, path)


def _copy(source: Path, partial: Path) -> None:
    shutil.copyfile(source, partial)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named weights: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_state(path: Path, check: bool = True) -> dict[str, Any]:
    """Return a checkpoint whose numbers stay on disk until they are used; nothing in the file is run.

    Args:
        path: the file.
        check: read every byte first, so that no damage goes unnoticed.

    Raises:
        ValueError: if it is none; the message says what is wrong with it.
    """
    problem = find_damage(path) if check else None
    if problem is not None:
        raise ValueError(problem)
    try:
        state: Any = torch.load(str(path), map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, OSError) as error:
        raise ValueError(f"it cannot be read ({str(error).splitlines()[0][:200]})") from error
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__} and no checkpoint")
    return cast(dict[str, Any], state)


def find_damage(path: Path) -> str | None:
    """Return what is wrong with a file of ``torch.save``, of which every byte is read; None for a whole one."""
    size = path.stat().st_size
    if size == 0:
        return "it is empty (0 bytes)"
    try:
        if not zipfile.is_zipfile(path):
            if _is_old_format(path):
                return None
            return f"it is cut off, or no checkpoint ({size} bytes)"
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError, RuntimeError):
        # OSError: a place before the file; RuntimeError: a part that says it is encrypted
        return f"it is cut off, or no checkpoint ({size} bytes)"
    return f"its part {broken} is damaged" if broken else None


def refuse_damaged(path: Path, folder: Path) -> None:
    """Refuse a damaged checkpoint, and offer the newest whole one of the run.

    Args:
        path: the checkpoint that is to be loaded.
        folder: the run's folder.

    Raises:
        ConfigurationError: says what is wrong with it and what to type.
    """
    problem = find_damage(path) or _find_missing_weights(path)
    if problem is None:
        return
    whole = find_newest_whole(folder)
    if whole is None:
        advice = "no other state of the run is whole: begin anew with env.overwrite=true, or set another env.save_dir"
    else:
        update, other = whole
        advice = (
            f"the newest whole state is {other}, of update {update}: go on from it with checkpoint.resume=true "
            f"checkpoint.resume_file={other}"
        )
    raise ConfigurationError(f"{path} is damaged: {problem}; {advice}")


def _find_missing_weights(path: Path) -> str | None:
    try:
        state: Any = torch.load(str(path), map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError:  # objects that only code of its own can read; whoever loads it decides
        return None
    except (RuntimeError, EOFError, KeyError, OSError) as error:
        if _is_old_format(path):
            return None
        return f"it cannot be read ({str(error).splitlines()[0][:200]})"
    if isinstance(state, dict):
        values = cast(dict[str, Any], state)
        weights: object = values.get("model", values.get("state_dict", values))
        entries = cast(dict[str, Any], weights) if isinstance(weights, dict) else {}
        if any(isinstance(value, Tensor) for value in entries.values()):
            return None
    return "it holds no weights"


def _is_old_format(path: Path) -> bool:
    """Return whether PyTorch before 1.6 wrote a file, or one that was told to write as it did."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x80\x02"


def find_newest_whole(folder: Path) -> tuple[int, Path] | None:
    """Return the update and the path of the newest checkpoint in a run's folder that is whole."""
    numbered = list_numbered(folder / "models")
    others = [path for path in _list_states(folder) if path not in numbered.values()]
    found: list[tuple[int, Path]] = []
    for path in others:
        try:
            found.append((int(read_state(path).get("num_updates", 0)), path))
        except ValueError:
            continue
    for update in sorted(numbered, reverse=True):
        if found and update <= max(found)[0]:
            break
        try:
            read_state(numbered[update])
        except ValueError:
            continue
        found.append((update, numbered[update]))
        break
    return max(found) if found else None


def estimate_bytes(model: torch.nn.Module) -> int:
    """Return about how large a checkpoint of a model is: its weights, and two moments of those that are trained."""
    trained = sum(value.nbytes for value in model.parameters() if value.requires_grad)
    return sum(value.nbytes for value in model.state_dict().values()) + 2 * trained


def check_space(folder: Path, num_bytes: int, num_states: int) -> None:
    """Refuse a run whose states cannot fit, before it trains.

    Args:
        folder: the run's.
        num_bytes: size of a state.
        num_states: states that the folder holds at most at a time; those that are there count as such.

    Raises:
        ConfigurationError: with the numbers.
    """
    held = {(state.st_dev, state.st_ino): state.st_size for state in map(Path.stat, _list_states(folder))}
    # Room for one is needed in any case: a state is written before an old one is removed.
    needed = max(num_bytes, num_states * num_bytes - sum(held.values()))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigurationError(
            f"env.save_dir={folder} has {free / 2**20:.0f} MiB free, and the run needs {needed / 2**20:.0f} MiB more: "
            f"it keeps up to {num_states} states of about {num_bytes / 2**20:.0f} MiB each; free some space, set "
            f"checkpoint.max_to_keep lower (1 keeps the fewest), or set another env.save_dir"
        )


def _list_states(folder: Path) -> list[Path]:
    return [
        *folder.glob("*current.ckpt"),
        *folder.glob("*best.ckpt"),
        *list_numbered(folder / "models").values(),
    ]
