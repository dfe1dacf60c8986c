"""Names of media: each has a key of its own, whatever others are called."""

import itertools
import unicodedata

import pytest

from clipbert_mmf.video.stores.names import NameIndex

NFD, NFC = (unicodedata.normalize(form, "é.mp4") for form in ("NFD", "NFC"))
FOLDERS = [
    ["a.mp4", "a.webm", "a.mp4.mp4"],
    ["a.mp4", "a.mp4.mp4", "a.mp4.mkv"],
    ["a.mp4", "a.mp4.mp4", "a.mp4.mp4.mp4", "a.mkv"],
    ["a.mp4", "a.mp4.mkv"],
    [NFD, NFC],
    [NFD, NFC, "é.mkv", f"{NFC}.mp4", f"{NFD}.mp4"],
    ["a/", "a.mp4", "b/a.mp4"],
]


@pytest.mark.parametrize("names", FOLDERS, ids=map(str, range(len(FOLDERS))))
def test_no_medium_is_lost_and_each_is_found_by_its_path(names):
    for order in itertools.permutations(names):
        index = NameIndex(order, "/store")
        assert sorted(index.names.values()) == sorted(names)
        for name in names:
            key = index.find(name.rstrip("/"))
            assert key is not None and index.names[key] == name
