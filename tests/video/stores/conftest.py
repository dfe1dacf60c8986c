"""One small content in every kind of store."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.encoded_media import write_lmdb

KINDS = ["folder", "lmdb", "tar", "iopath"]

#: Key -> bytes; every kind of store holds the same.
CONTENT = {"video7010": b"seven", "x/v_a-b": b"eight", "x/žluť": b"nine", "x/y/z/deep": b"ten"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "media"
    names = {
        "video7010": "video7010.mp4",
        "x/v_a-b": "x/v_a-b.webm",
        "x/žluť": "x/žluť.GIF",
        "x/y/z/deep": "x/y/z/deep.mkv",
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
        tmp_path / "shards" / "part-000.tar",
        {f"./{key}.mp4": CONTENT[key] for key in ("video7010", "x/v_a-b")},
    )
    write_tar(
        tmp_path / "shards" / "part-001.tar",
        {"x/žluť.mp4": b"nine", "x/žluť.json": b"{}", "x/y/z/deep.gif": b"ten"},
    )
    plain = tmp_path / "plain"
    plain.mkdir()
    for key, value in CONTENT.items():
        path = plain / f"{key}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    return {
        "folder": folder,
        "lmdb": write_lmdb(tmp_path / "store_lmdb", CONTENT),
        "tar": tmp_path / "shards",
        "iopath": plain,
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
