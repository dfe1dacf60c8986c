"""Reads pickles of NumPy arrays (Detectron2's and Caffe2's ``.pkl``) and refuses any other content."""

from __future__ import annotations

import codecs
import collections
import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

try:
    from numpy._core import multiarray
except ImportError:  # NumPy 1
    from numpy.core import multiarray

#: Functions and classes that a pickled array refers to; PyTorch's own safe reader needs the list.
_DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")
ARRAY_GLOBALS: tuple[Any, ...] = (
    multiarray._reconstruct,
    multiarray.scalar,
    np.ndarray,
    np.dtype,
    codecs.encode,
    *{type(np.dtype(name)) for name in _DTYPES},
)


class UnsafePickleError(Exception):
    """A pickle asks for something that is not part of an array."""


class _ArrayType:
    """Stands for ``numpy.ndarray``, which a pickle may name but not call: calling it allocates any size."""


def _start_array(kind: type, shape: tuple[int, ...], code: Any) -> Any:
    if kind is not _ArrayType or tuple(shape) != (0,):
        raise UnsafePickleError("it rebuilds something that is not an array")
    # The state that follows gives shape and bytes, and NumPy checks that they agree.
    return multiarray._reconstruct(np.ndarray, (0,), b"b")


def _make_dtype(code: Any, *flags: Any) -> np.dtype:
    dtype = np.dtype(str(code))
    if dtype.kind not in "fiub":
        raise UnsafePickleError(f"it holds an array of {dtype}")
    return dtype


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"it encodes text as {encoding!r}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _make_dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = _start_array
    _ALLOWED[_module, "scalar"] = multiarray.scalar


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UnsafePickleError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError("it refers to something outside the file")


def load_pickle(path: Path) -> Any:
    """Read a pickle of dictionaries, lists, texts, numbers and numeric arrays.

    Raises:
        UnsafePickleError: if it asks for anything else.
        pickle.UnpicklingError, EOFError, ValueError: if it is damaged.
    """
    with path.open("rb") as file:
        try:
            _check_sizes(file, path.stat().st_size)
            # Python 2 wrote many of these files.
            return _ArrayUnpickler(file, encoding="latin1").load()
        except (TypeError, AttributeError, IndexError, MemoryError, OverflowError) as error:
            raise pickle.UnpicklingError(f"damaged pickle: {error}") from error


def _check_sizes(file: BinaryIO, size: int) -> None:
    """Refuse a pickle whose memo is larger than the file: Python would make room for it before it fails."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > size:
            raise UnsafePickleError(f"it asks for a memo of {argument} entries in {size} bytes")
    file.seek(0)
