"""Endings are in lower case and begin with a dot, as they are compared."""

from clipbert_mmf.video.endings import MEDIA_ENDINGS


def test_endings_are_as_they_are_compared():
    assert set(MEDIA_ENDINGS) == {"video", "image"}
    for endings in MEDIA_ENDINGS.values():
        assert endings and all(ending == ending.lower() and ending.startswith(".") for ending in endings)
    assert ".mp4" in MEDIA_ENDINGS["video"] and ".png" not in MEDIA_ENDINGS["video"]
