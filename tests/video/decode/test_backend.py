"""A backend of a user's own decodes here and in a reader process; where it cannot serve, PyAV does."""

import sys

import numpy as np
import pytest
import torch

from clipbert_mmf.video.decode import BACKENDS, CannotServeError, read_frames, register_backend
from clipbert_mmf.video.watchdog import GuardedReader

OWN = """
import numpy as np
from clipbert_mmf.video.decode import CannotServeError

def read_grey(source, reader, wanted, num_threads):
    if reader.info.codec == "gif":
        raise CannotServeError("no GIFs")
    for index in wanted.tolist():
        yield index, np.full((reader.info.height, reader.info.width, 3), index, np.uint8)
"""


@pytest.fixture
def own_backend(tmp_path, monkeypatch):
    (tmp_path / "own_decoder.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_decoder

    # As MMF does after it imported a user's folder.
    sys.path.remove(str(tmp_path))
    monkeypatch.setattr("clipbert_mmf.video.decode.reading.BACKENDS", BACKENDS)
    register_backend("grey", own_decoder.read_grey)
    yield own_decoder.read_grey
    del BACKENDS["grey"]
    del sys.modules["own_decoder"]


def test_a_registered_backend_serves_and_leaves_to_pyav_what_it_refuses(own_backend, video_file):
    served, times = [], np.array([0.0, 0.5])
    frames = read_frames(video_file("plain.mp4"), times, backend="grey", on_served=served.append)
    assert frames[:, 0, 0, 0].tolist() == [0, 6]
    gif = video_file("animated.gif")
    assert torch.equal(
        read_frames(gif, times, backend="grey", on_served=served.append), read_frames(gif, times)
    )
    assert served == ["grey", "pyav"]


def test_a_registered_backend_serves_in_a_reader_process(own_backend, video_file):
    reader, served = GuardedReader(60.0), []
    frames = reader.read_frames(
        video_file("plain.mp4"), np.array([0.0, 0.5]), backend="grey", on_served=served.append
    )
    reader.close()
    assert frames[:, 0, 0, 0].tolist() == [0, 6] and served == ["grey"]


def test_a_name_that_is_taken_is_refused(own_backend):
    register_backend("grey", own_backend)
    with pytest.raises(ValueError, match="a backend 'pyav' is registered already"):
        register_backend("pyav", own_backend)
    assert issubclass(CannotServeError, Exception)
