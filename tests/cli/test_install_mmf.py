"""The retagging of MMF's wheel, and what the installer says of a wrong source."""

import base64
import hashlib
import subprocess
import zipfile

import pytest

from clipbert_mmf.cli.install_mmf import RELEASE, install_source, retag


def test_a_retagged_wheel_is_pure_python_complete_and_correctly_recorded(tmp_path):
    info = f"mmf-{RELEASE}.dist-info"
    old = tmp_path / f"mmf-{RELEASE}-cp38-cp38-manylinux1_x86_64.whl"
    with zipfile.ZipFile(old, "w") as wheel:
        wheel.writestr("mmf/__init__.py", "x = 1\n")
        wheel.writestr("mmf/configs/defaults.yaml", "a: 1\n")
        wheel.writestr("mmf/cphoc.cpython-38-x86_64-linux-gnu.so", b"\x7fELF")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp38-cp38-manylinux1_x86_64\n"
        )
        wheel.writestr(f"{info}/METADATA", "Name: mmf\n")
        wheel.writestr(f"{info}/RECORD", "mmf/__init__.py,,\n")
    with zipfile.ZipFile(retag(old)) as new:
        names = set(new.namelist())
        assert {"mmf/__init__.py", "mmf/configs/defaults.yaml", f"{info}/RECORD"} <= names
        assert not any(name.endswith(".so") for name in names)
        tags = new.read(f"{info}/WHEEL").decode()
        assert "Tag: py3-none-any" in tags and "cp38" not in tags and "Root-Is-Purelib: true" in tags
        recorded = [line.split(",") for line in new.read(f"{info}/RECORD").decode().splitlines()]
        assert {name for name, _, _ in recorded} == names
        for name, digest, size in recorded:
            if not name.endswith("RECORD"):
                data = new.read(name)
                expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={expected}", str(len(data)))


def test_a_source_that_is_not_mmf_is_named(tmp_path):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    commit = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "commit",
        "-q",
        "--allow-empty",
    ]
    subprocess.run([*commit, "-m", "empty"], check=True)
    with pytest.raises(RuntimeError, match="holds no 'mmf' package"):
        install_source(str(tmp_path))
