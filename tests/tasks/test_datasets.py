"""The table of datasets takes a user's row, tells whoever listens, and refuses a row that cannot work."""

import pytest

from clipbert_mmf.tasks.datasets import SPECS, DatasetSpec, register_dataset


@pytest.fixture()
def own():
    spec = DatasetSpec("only_here", corpus="didemo", task="retrieval", media="video")
    yield spec
    SPECS.pop("only_here", None)


def test_a_dataset_is_told_to_listeners_and_may_be_registered_again(own, monkeypatch):
    told = []
    monkeypatch.setattr("clipbert_mmf.tasks.datasets.REGISTRATION_LISTENERS", [told.append])
    register_dataset(own)
    register_dataset(own)
    assert told == [own, own] and SPECS["only_here"] is own


def test_a_listener_that_refuses_keeps_the_row_out(own, monkeypatch):
    def refuse(spec):
        raise ValueError("taken")

    monkeypatch.setattr("clipbert_mmf.tasks.datasets.REGISTRATION_LISTENERS", [refuse])
    with pytest.raises(ValueError, match="taken"):
        register_dataset(own)
    assert "only_here" not in SPECS


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"corpus": "didimo"}, r"corpus is 'didimo' \(did you mean 'didemo'\?\); allowed are"),
        ({"task": "guess"}, "task is 'guess'; allowed are"),
        ({"media": "sound"}, "media is 'sound'; allowed are"),
    ],
)
def test_a_row_that_cannot_work_is_refused(changes, message):
    values = {"corpus": "didemo", "task": "retrieval", "media": "video", **changes}
    with pytest.raises(ValueError, match=message):
        register_dataset(DatasetSpec("wrong", **values))
