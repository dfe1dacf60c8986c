"""One small content in every kind of store."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.encoded_media import write_lmdb

KINDS = ["folder", "lmdb", "tar", "iopath"]

CONTENT = {"video7010": b"seven", "v_a-b": b"eight", "žluť": b"nine", "deep": b"ten"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "media"
    names = {
        "video7010": "video7010.mp4",
        "v_a-b": "x/v_a-b.webm",
        "žluť": "x/žluť.GIF",
        "deep": "x/y/z/deep.mkv",
    }
    for key, name in names.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT[key])
    (root / ".hidden").write_bytes(b"no")
    return root


@pytest.fixture
def stores(folder, tmp_path):
    """Every kind of store, all with the same content."""
    write_tar(
        tmp_path / "shards" / "part-000.tar", {f"a/{key}.mp4": CONTENT[key] for key in ("video7010", "v_a-b")}
    )
    write_tar(
        tmp_path / "shards" / "part-001.tar", {"žluť.mp4": b"nine", "žluť.json": b"{}", "deep.gif": b"ten"}
    )
    flat = tmp_path / "flat"
    flat.mkdir()
    for key, value in CONTENT.items():
        (flat / f"{key}.mp4").write_bytes(value)
    return {
        "folder": folder,
        "lmdb": write_lmdb(tmp_path / "store_lmdb", CONTENT),
        "tar": tmp_path / "shards",
        "iopath": flat,
    }


def write_tar(path, files):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def read_bytes(store, key):
    found = store.read(key)
    return found.read_bytes() if isinstance(found, Path) else found
