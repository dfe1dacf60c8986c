"""Adds to the wheel what pyproject.toml cannot.

The configuration files, and the one-line .pth that lets MMF find us.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).parent
PTH_NAME = "clipbert_mmf.pth"
# It runs whenever Python starts: it imports little, nothing when switched off, and is silent when the package
# is gone.
PTH_LINE = (
    "import os; os.environ.get('CLIPBERT_MMF_HOST') == '0' or "
    "exec('try:\\n from clipbert_mmf.host import hook\\n hook.install()\\nexcept ImportError: pass')\n"
)
BUNDLED = ("configs", "projects")


class BuildWithPth(build_py):
    """Put the .pth beside the package and the configuration files inside it."""

    def run(self) -> None:
        """Build the package, then add the files."""
        super().run()
        if self.editable_mode:
            return
        build = Path(self.build_lib)
        (build / PTH_NAME).write_text(PTH_LINE, encoding="utf-8")
        for name in BUNDLED:
            shutil.copytree(ROOT / name, build / "clipbert_mmf" / "_bundled" / name, dirs_exist_ok=True)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the paths of all files that are built, ours included."""
        build = Path(self.build_lib)
        bundled = [
            path for name in BUNDLED for path in (build / "clipbert_mmf" / "_bundled" / name).rglob("*")
        ]
        return [*super().get_outputs(include_bytecode), str(build / PTH_NAME), *map(str, bundled)]


class EditableWithPth(editable_wheel):
    """Add the .pth to the editable wheel and to its record, so that pip removes it again."""

    def run(self) -> None:
        """Build the editable wheel, then write it again with the .pth."""
        super().run()
        wheel = max(Path(self.dist_dir).glob("clipbert_mmf-*.whl"), key=lambda path: path.stat().st_mtime)
        digest = base64.urlsafe_b64encode(hashlib.sha256(PTH_LINE.encode()).digest()).rstrip(b"=").decode()
        patched = wheel.with_suffix(".tmp")
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(patched, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                data = old.read(entry)
                if entry.filename.endswith(".dist-info/RECORD"):
                    data = data.rstrip(b"\n") + f"\n{PTH_NAME},sha256={digest},{len(PTH_LINE)}\n".encode()
                new.writestr(entry, data)
            new.writestr(PTH_NAME, PTH_LINE)
        patched.replace(wheel)


setup(cmdclass={"build_py": BuildWithPth, "editable_wheel": EditableWithPth}, zip_safe=False)
