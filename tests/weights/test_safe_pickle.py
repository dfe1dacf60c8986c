"""Pickles of arrays are read, and nothing else of a pickle is run."""

import collections
import os
import pickle

import numpy as np
import pytest

from clipbert_mmf.weights.safe_pickle import UnsafePickleError, load_pickle


class Calls:
    def __reduce__(self):
        return os.getenv, ("HOME",)


def write(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_dictionaries_of_arrays_come_back(tmp_path, protocol):
    arrays = collections.OrderedDict(a=np.arange(6.0).reshape(2, 3), b=np.array([True, False]))
    found = load_pickle(write(tmp_path / "x.pkl", {"model": arrays, "step": 3}, protocol))
    assert found["step"] == 3 and list(found["model"]) == ["a", "b"]
    for name, value in arrays.items():
        np.testing.assert_array_equal(found["model"][name], value)


@pytest.mark.parametrize("content", [Calls(), {"a": [Calls()]}, np.array([Calls()], dtype=object)])
def test_anything_that_calls_is_refused(tmp_path, content):
    with pytest.raises(UnsafePickleError, match="it asks for|it holds an array of object"):
        load_pickle(write(tmp_path / "x.pkl", content))


def test_a_memo_larger_than_the_file_is_refused(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")
    with pytest.raises(UnsafePickleError, match="a memo of 2147483647 entries"):
        load_pickle(tmp_path / "x.pkl")


def test_a_truncated_pickle_is_damaged(tmp_path):
    path = write(tmp_path / "x.pkl", {"a": np.arange(9.0)})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises((pickle.UnpicklingError, EOFError, ValueError)):
        load_pickle(path)
