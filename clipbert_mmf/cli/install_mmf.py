"""``clipbert install-mmf``: MMF on today's Python, beside the libraries that are there.

PyPI's only usable file of MMF 1.0.0rc10 is a wheel tagged for CPython 3.8, although it holds pure Python but
for one optional extension; its source archive lacks every YAML file. So the wheel is downloaded, its tag
rewritten, and installed without its pins (torch 1.5, transformers 2.3). With ``--source``, MMF's main branch is
installed from a directory or a git URL instead. Running it again is safe.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from clipbert_mmf.cli.printing import print_result

RELEASE = "1.0.0rc10"
#: What MMF imports at start beside what clipbert_mmf needs anyway.
NEEDS = [
    "requests",
    "scikit-learn",
    "nltk",
    "editdistance",
    "GitPython",
    "termcolor",
    "packaging",
    "tensorboard",
    "psutil",
    "matplotlib",
    "ftfy",
]
#: What main imports on top, and its own oldest OmegaConf.
MAIN_NEEDS = ["pandas", "omegaconf>=2.1"]
#: The extension modules of the cp38 wheel cannot be loaded by another Python; MMF runs without them.
USELESS_SUFFIX = ".so"


def pip(*arguments: str) -> None:
    """Run this interpreter's pip; raises ``RuntimeError`` where that fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise RuntimeError(f"'{' '.join(command)}' failed with exit code {code}; see above")


def retag(wheel: Path) -> Path:
    """Write a copy of the wheel that any Python 3 accepts.

    Args:
        wheel: the downloaded file.

    Returns:
        The new wheel, in the same directory.
    """
    retagged = wheel.with_name(f"mmf-{RELEASE}-py3-none-any.whl")
    records: list[str] = []
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(retagged, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            name, data = entry.filename, old.read(entry)
            if name.endswith(USELESS_SUFFIX) or name.endswith(".dist-info/RECORD") or name.endswith("/"):
                continue
            if name.endswith(".dist-info/WHEEL"):
                lines = [
                    line
                    for line in data.decode().splitlines()
                    if not line.startswith(("Tag:", "Root-Is-Purelib:"))
                ]
                data = ("\n".join([*lines, "Root-Is-Purelib: true", "Tag: py3-none-any"]) + "\n").encode()
            new.writestr(entry, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            records.append(f"{name},sha256={digest},{len(data)}")
        record = f"mmf-{RELEASE}.dist-info/RECORD"
        new.writestr(record, "\n".join([*records, f"{record},,"]) + "\n")
    return retagged


def install_release() -> str:
    """Install the PyPI release; return what was done."""
    with tempfile.TemporaryDirectory() as directory:
        pip(
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            "3.8",
            "--abi",
            "cp38",
            "--implementation",
            "cp",
            "--platform",
            "manylinux1_x86_64",
            "--dest",
            directory,
            f"mmf=={RELEASE}",
        )
        (wheel,) = Path(directory).glob("mmf-*.whl")
        pip("install", "--quiet", "--no-deps", "--force-reinstall", str(retag(wheel)))
    return f"MMF {RELEASE} from PyPI, its wheel retagged for every Python 3"


def install_source(source: str) -> str:
    """Install MMF's main branch from a directory, a bare repository or a git URL; return what was done."""
    path = Path(source).expanduser()
    if (path / "setup.py").is_file():
        pip("install", "--quiet", "--no-deps", "--force-reinstall", str(path.resolve()))
        return f"MMF from the directory {path}"
    with tempfile.TemporaryDirectory() as directory:
        url = str(path.resolve()) if path.exists() else source.removeprefix("git+")
        clone = [
            "git",
            "clone",
            "--quiet",
            "--depth",
            "1",
            f"file://{url}" if path.exists() else url,
            directory,
        ]
        if subprocess.run(clone, check=False).returncode:
            raise RuntimeError(f"cannot clone '{source}'; give a directory with MMF's setup.py or a git URL")
        if not (Path(directory) / "mmf").is_dir():
            raise RuntimeError(f"'{source}' holds no 'mmf' package; is it MMF's repository?")
        pip("install", "--quiet", "--no-deps", "--force-reinstall", directory)
    return f"MMF from {source}"


def check() -> str:
    """Import MMF in a new process and describe it; raises ``RuntimeError`` where that fails."""
    program = (
        "import clipbert_mmf.host.hook as hook; hook.install(); import mmf, pathlib;"
        "from mmf.utils.env import setup_imports; setup_imports();"
        "root = pathlib.Path(mmf.__file__).parent; from clipbert_mmf.host.mmf_version import mmf_version;"
        'print(f\'mmf {mmf.__version__} ({mmf_version()}) in {root}, {len(list(root.rglob("*.yaml")))} YAML '
        "files')"
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    if result.returncode:
        raise RuntimeError(f"MMF is installed but does not import:\n{result.stderr}")
    return result.stdout.strip().splitlines()[-1]


def run(options: argparse.Namespace) -> int:
    """Install MMF, import it, and print what was done."""
    pip("install", "--quiet", *NEEDS, *(MAIN_NEEDS if options.source else ()))
    done = install_source(options.source) if options.source else install_release()
    checked = check()
    content = {"installed": done, "checked": checked}
    print_result(options, content, [f"Installed {done}", f"Checked: {checked}"])
    return 0
