"""Describes what a model was trained with: answers, tokenizer, preprocessing, network.

It travels in every checkpoint under ``KEY`` and beside every state dict, so that a test asks the model what
it has learned, whatever lies around. The values are plain: any reader opens them without running code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clipbert_mmf.configuration import to_plain
from clipbert_mmf.transforms.tokens import StoredTokenizer

#: Key of a checkpoint, and of the metadata of a state dict, that holds ``TrainedWith.to_dict``.
KEY = "clipbert_trained_with"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class TrainedDataset:
    """The description of one dataset.

    Attributes:
        task: name of its task.
        answers: the vocabulary by index; empty where the task has none.
        answers_file: ``answers.file`` as it was configured, relative to the data directory.
        tokenizer: its content; None for one that cannot be written as text.
        tokenizer_name: ``text_processor.params.tokenizer`` as it was configured.
        processors: type and settings of the text processor and of the media processor of evaluation.
    """

    task: str
    answers: tuple[str, ...] = ()
    answers_file: str | None = None
    tokenizer: StoredTokenizer | None = None
    tokenizer_name: str = ""
    processors: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class TrainedWith:
    """The description of a model.

    Attributes:
        datasets: by registry key, those that it was trained on.
        model: ``model_config.clipbert``; empty for a model of another kind.
    """

    datasets: Mapping[str, TrainedDataset]
    model: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def find(self, dataset: str) -> TrainedDataset | None:
        """Return the description that goes with a dataset.

        A model of one dataset has one vocabulary and one tokenizer, whatever it is asked about.
        """
        if dataset in self.datasets or len(self.datasets) != 1:
            return self.datasets.get(dataset)
        return next(iter(self.datasets.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "version": FORMAT_VERSION,
            "model": to_plain(self.model),
            "datasets": {name: _dump(dataset) for name, dataset in self.datasets.items()},
        }

    def to_config(self) -> dict[str, Any]:
        """Return the sections of a run's configuration that describe the model."""
        return {
            "model": "clipbert",
            "datasets": ",".join(self.datasets),
            "model_config": {"clipbert": to_plain(self.model)},
            "dataset_config": {
                name: {"processors": to_plain(dataset.processors)} for name, dataset in self.datasets.items()
            },
        }


def _dump(dataset: TrainedDataset) -> dict[str, Any]:
    tokenizer = dataset.tokenizer
    stored = (
        None
        if tokenizer is None
        else {
            "sha256": tokenizer.identity,
            "content": tokenizer.content,
            "special_tokens": dict(tokenizer.special_tokens),
        }
    )
    return {
        "task": dataset.task,
        "answers": list(dataset.answers),
        "answers_file": dataset.answers_file,
        "tokenizer": stored,
        "tokenizer_name": dataset.tokenizer_name,
        "processors": to_plain(dataset.processors),
    }


def read_trained_with(content: Any) -> TrainedWith | None:
    """Return the description in a checkpoint or a state dict that is read already; None where it has none.

    Raises:
        ValueError: for one that a newer version wrote, or a damaged one.
    """
    values = _find(content)
    if values is None:
        return None
    version = values.get("version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{KEY} has version {version!r} and this version of clipbert_mmf reads {FORMAT_VERSION}; install a "
            f"newer one"
        )
    try:
        datasets = {name: _parse(dataset) for name, dataset in values["datasets"].items()}
        return TrainedWith(datasets, values["model"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{KEY} is damaged: {type(error).__name__} {error}") from error


def _find(content: Any) -> Mapping[str, Any] | None:
    if not isinstance(content, Mapping):
        return None
    if isinstance(content.get(KEY), Mapping):
        return content[KEY]
    for state in (content, content.get("model"), content.get("state_dict")):
        # PyTorch keeps what each module says about its state here; a wrapped model has a prefix.
        for told in getattr(state, "_metadata", {}).values():
            if isinstance(told, Mapping) and isinstance(told.get(KEY), Mapping):
                return told[KEY]
    return None


def _parse(values: Mapping[str, Any]) -> TrainedDataset:
    stored = values["tokenizer"]
    tokenizer = (
        None
        if stored is None
        else StoredTokenizer(stored["content"], tuple(sorted(stored["special_tokens"].items())))
    )
    return TrainedDataset(
        values["task"],
        tuple(values["answers"]),
        values["answers_file"],
        tokenizer,
        values["tokenizer_name"],
        values["processors"],
    )
