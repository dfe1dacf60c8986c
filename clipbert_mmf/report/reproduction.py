"""The rows of the paper's tables 7 to 9: data, command line, estimated time, and the result beside the paper's.

The rows stand in ``projects/clipbert/configs/reproduce.yaml``; ``clipbert reproduce`` runs one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbert_mmf.annotations.sources import find_file
from clipbert_mmf.configuration import parse_config
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.paths import config_dir, project_dir
from clipbert_mmf.weights.files import WeightsFileError, read_weights
from clipbert_mmf.weights.formats import detect_format
from clipbert_mmf.weights.loading import find_weights

#: Frame size that the costs were measured with, pixels.
MEASURED_FRAME_PX = 448
WEIGHTS_KEY = "model_config.clipbert.weights.clipbert"


@dataclass(frozen=True)
class Costs:
    """Measured costs of one card, for clips of one frame of ``MEASURED_FRAME_PX``.

    Attributes:
        card: its name.
        train_clips_per_sec: clips that a training step goes through in a second.
        decode_sec_per_clip: seconds to read a clip, with all cores of the machine at once.
        encode_sec_per_clip: seconds of the convolutions in evaluation.
        score_sec_per_pair_of_clip: seconds of the transformer for a text and a clip in evaluation.
    """

    card: str
    train_clips_per_sec: float
    decode_sec_per_clip: float
    encode_sec_per_clip: float
    score_sec_per_pair_of_clip: float


@dataclass(frozen=True)
class PaperRow:
    """One row of the paper.

    Attributes:
        table: number of the table.
        label: what is trained and tested.
        dataset: registry key.
        metric: name of the row's metric in ``metrics.jsonl``.
        metric_label: the paper's name of it.
        paper: the figure of the paper's table, per cent; None where it is not known here.
        stated: what the paper's running text says about the row.
        items: training items of an epoch; 0 where nothing is trained.
        epochs: passes over them.
        clips: N_train.
        frames: T, in training and test.
        frame_px: longer side of a frame.
        test_videos: media of the test.
        test_pairs: pairs of medium and text of the test.
        test_clips: N_test.
        weights_of: row whose trained model this one tests; empty for a row that trains.
        remark: what differs from the paper's way.
    """

    table: str
    label: str
    dataset: str
    metric: str
    metric_label: str
    paper: float | None
    items: int
    epochs: int
    clips: int
    frames: int
    frame_px: int
    test_videos: int
    test_pairs: int
    test_clips: int
    stated: str = ""
    weights_of: str = ""
    remark: str = ""

    def estimate_hours(self, costs: Costs) -> tuple[float, float]:
        """Return the hours of training and of the test on one card; validations are not counted.

        A frame costs in proportion to its pixels, a clip to its frames.
        """
        size = self.frames * (self.frame_px / MEASURED_FRAME_PX) ** 2
        training = self.items * self.epochs * self.clips * size / costs.train_clips_per_sec
        reading = size * (costs.decode_sec_per_clip + costs.encode_sec_per_clip)
        scoring = self.test_pairs * costs.score_sec_per_pair_of_clip
        return training / 3600, self.test_clips * (self.test_videos * reading + scoring) / 3600

    def write_options(self, data: Path, save: Path, weights: str | None, tokenizer: str | None) -> list[str]:
        """Return the command line of ``mmf_run``, without the command.

        Args:
            data: folder of the corpus.
            save: folder of the run.
            weights: file to start from, or to test.
            tokenizer: folder or name of the tokenizer; None for the recipe's.
        """
        recipe = f"projects/clipbert/configs/{self.dataset}/defaults.yaml"
        section = f"dataset_config.{self.dataset}"
        words = [
            f"config={recipe}",
            "model=clipbert",
            f"dataset={self.dataset}",
            f"{section}.data_dir={data}",
        ]
        if self.frame_px == MEASURED_FRAME_PX:  # images have neither clips nor frames
            for media, clips in (("train", self.clips), ("eval", self.test_clips)):
                params = f"{section}.processors.{media}_media_processor.params"
                words += [f"{params}.num_clips={clips}", f"{params}.num_frames={self.frames}"]
        if tokenizer:
            words.append(f"{section}.processors.text_processor.params.tokenizer={tokenizer}")
        if weights:
            words.append(f"{WEIGHTS_KEY}={weights}")
        return [*words, f"env.save_dir={save}", f"run_type={'test' if self.weights_of else 'train_val_test'}"]


@dataclass(frozen=True)
class Reproduction:
    """The content of ``reproduce.yaml``.

    Attributes:
        costs: what the estimates are made of.
        rows: by name.
    """

    costs: Costs
    rows: dict[str, PaperRow]


def load_reproduction() -> Reproduction:
    """Read the rows of the paper."""
    file = project_dir() / "clipbert" / "configs" / "reproduce.yaml"
    return parse_config(Reproduction, read_yaml(file), file.name)


def find_problems(
    row: PaperRow, data: Path, weights: str | None, options: Sequence[str] = (), tokenizer: str | None = None
) -> list[str]:
    """Return what is missing for a row, one sentence each.

    Args:
        row: the row.
        data: folder of the corpus.
        weights: file to start from.
        options: options of ``mmf_run``; annotations, media and weights that they set are left to the run.
        tokenizer: folder of the tokenizer, or its name on the hub.
    """
    problems = [*_check_data(row, data, options), *_check_weights(row, weights, options)]
    if tokenizer and tokenizer.startswith(("/", ".", "~")) and not Path(tokenizer).expanduser().is_dir():
        problems.append(f"--tokenizer {tokenizer}: no such folder")
    return problems


def _check_data(row: PaperRow, data: Path, options: Sequence[str]) -> list[str]:
    section = f"dataset_config.{row.dataset}"
    own = read_yaml(config_dir() / "datasets" / row.dataset / "defaults.yaml")["dataset_config"][row.dataset]
    splits = ("test",) if row.weights_of else ("train", "val", "test")
    files = {
        f"{section}.annotations.{split}.{key}": str(source[key])
        for split in splits
        for source in own["annotations"][split]
        for key in sorted({"file", "answers", "exclude", "only"} & source.keys())
    }
    if not data.is_dir():
        names = dict.fromkeys([*files.values(), *(str(own["media"][split]) for split in splits)])
        state = "is a file" if data.exists() else "no such folder"
        return [f"--data {data}: {state}; expected a folder with {', '.join(names)}"]
    problems: dict[str, None] = {}
    if not _sets(options, f"{section}.annotations"):
        for where, name in files.items():
            problems.update(_check_file(data, name, where))
    if not _sets(options, f"{section}.media"):
        for split in splits:
            place = data / os.path.expanduser(own["media"][split])
            if not place.exists() or (place.is_dir() and not any(place.iterdir())):
                state = "is empty" if place.exists() else "does not exist"
                problems[f"{section}.media.{split}: {place} {state}; set {section}.media.{split}=FOLDER"] = (
                    None
                )
    return list(problems)


def _check_file(data: Path, name: str, where: str) -> dict[str, None]:
    try:
        find_file(data, name, where)
    except FileNotFoundError as error:
        return {str(error): None}
    return {}


def _check_weights(row: PaperRow, weights: str | None, options: Sequence[str]) -> list[str]:
    if weights is None:
        if _sets(options, "model_config.clipbert.weights"):
            return []
        wanted = (
            f"the model that `clipbert reproduce {row.weights_of}` trained"
            if row.weights_of
            else "the image-text pre-training of the paper (docs/weights.md)"
        )
        return [f"--weights: not given; expected {wanted}"]
    try:
        file = read_weights(find_weights(weights, where="--weights"))
    except OSError as error:
        return [str(error)]
    except WeightsFileError as error:
        return [f"--weights {weights}: {error}"]
    if detect_format(file.tensors) is None:
        return [f"--weights {weights}: no weights of ClipBERT are in it; see clipbert inspect {weights}"]
    return []


def _sets(options: Sequence[str], prefix: str) -> bool:
    return any(option.startswith((f"{prefix}.", f"{prefix}=", f"{prefix}[")) for option in options)


def describe_result(row: PaperRow, measured: dict[str, float]) -> dict[str, Any]:
    """Return the paper's figure and ours, per cent.

    Args:
        row: the row.
        measured: metrics of the test by short name, as ``read_final_metrics`` returns them.
    """
    if row.metric not in measured:
        raise KeyError(f"the run has no metric {row.metric}; it has {', '.join(sorted(measured))}")
    ours = 100 * measured[row.metric]
    difference = None if row.paper is None else ours - row.paper
    return {"metric": row.metric_label, "paper": row.paper, "ours": ours, "difference": difference}


def format_result(row: PaperRow, result: dict[str, Any], options: Sequence[str] = ()) -> str:
    """Return paper against ours as a Markdown table.

    Args:
        row: the row.
        result: from ``describe_result``.
        options: what the user set beside the row's own; the table says it, as the run may be another for it.
    """
    remark = "; ".join(filter(None, [row.remark, f"with {' '.join(options)}" if options else ""])).replace(
        "|", "/"
    )
    told = {key: "-" if result[key] is None else f"{result[key]:.1f}" for key in ("paper", "ours")}
    difference = "-" if result["difference"] is None else f"{result['difference']:+.1f}"
    lines = [
        f"| table | row | {result['metric']} of the paper | ours | difference | remark |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {row.table} | {row.label} | {told['paper']} | {told['ours']} | {difference} | {remark or '-'} |",
    ]
    return "\n".join(lines)
