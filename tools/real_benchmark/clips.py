"""Clips of 20 actions: a model of captioned photos as it is, trained further, and a linear probe beside it."""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.inference.embedding import embed_texts
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.scoring.outcomes import Outcomes
from clipbert_mmf.video.clips import ClipOptions, ClipReader
from clipbert_mmf.video.stores.open import open_store
from real_benchmark.features import LITE0, build_frozen, build_lite0_head, embed_photos, lite0_backbone
from real_benchmark.flickr8k import RECIPES_OF_PART, Flickr8k
from real_benchmark.material import UCF20, Material
from real_benchmark.runs import RECIPES, Finished, Runner
from real_benchmark.systems import Result, ResultStore, describe_machine, make_file_name

#: Reads the clips, with all sentences as the options of each.
DATASET = "msrvtt_mc"
TEST = "20 sentences"
PROBE = "linear probe of frozen frames"
#: Clips of a video in the test (figure 4).
NUM_TEST_CLIPS = (1, 2, 4, 8)
#: Clips of a video for the probe, and for the fine-tuned model.
NUM_PROBE_CLIPS = 4
_PROBE_STRENGTHS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Clip:
    """One clip of an action.

    Attributes:
        video: file name.
        text: sentence of its action.
        action: name of the class.
        group: person or source video; clips of a group look alike.
    """

    video: str
    text: str
    action: str
    group: str

    @property
    def key(self) -> str:
        """Its key in a store."""
        return self.video.rpartition(".")[0]


def read_clips(table: Path) -> list[Clip]:
    """Return the clips of a table with the columns ``video, text, class, group``, in its order."""
    with table.open(encoding="utf-8", newline="") as file:
        return [Clip(row["video"], row["text"], row["class"], row["group"]) for row in csv.DictReader(file)]


def split_groups(clips: Iterable[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Return two halves; a group is in one of them, and the groups of every action go to them in turns.

    The order is that of a hash of their names.
    """
    clips = list(clips)
    groups: dict[str, set[str]] = {}
    for clip in clips:
        groups.setdefault(clip.action, set()).add(clip.group)
    first: set[str] = set()
    for place, action in enumerate(sorted(groups)):
        ordered = sorted(groups[action], key=lambda name: sha256(name.encode()).hexdigest())
        # Of three groups one half has two: of every other action the other half.
        first.update(ordered[place % 2 :: 2])
    return (
        [clip for clip in clips if clip.group in first],
        [clip for clip in clips if clip.group not in first],
    )


def write_choices(path: Path, clips: Iterable[Clip], sentences: Sequence[str]) -> Path:
    """Write the questions of clips in ClipBERT's lines of multiple choice: every sentence is an option."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "qid": str(number),
            "clip_name": clip.key,
            "options": list(sentences),
            "answer": sentences.index(clip.text),
        }
        for number, clip in enumerate(clips)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Tuning:
    """How a model is trained further on clips.

    Attributes:
        system: its name in tables.
        note: the setting.
        options: what differs from the recipe.
    """

    system: str
    note: str = ""
    options: tuple[str, ...] = ()


_MODEL = "model_config.clipbert"
FINE_TUNED = Tuning(
    "fine-tuned end to end", "clips.yaml from the first stage; each half tested with the other's"
)
FROZEN = Tuning("fine-tuned, frozen backbone", "the towers alone train", (f"{_MODEL}.freeze.backbone=true",))


@dataclass(frozen=True)
class Actions:
    """Tests models of captioned photos on the clips.

    Attributes:
        material: the downloaded material.
        store: keeps what they reach.
        runner: runs them.
        weights: seed of the training on photos -> its weights.
        jobs: runs at once.
    """

    material: Material
    store: ResultStore
    runner: Runner
    weights: Mapping[int, Path] = field(default_factory=dict[int, Path])
    jobs: int = 1

    @property
    def clips(self) -> list[Clip]:
        """All clips."""
        return read_clips(self.material.data / UCF20[1])

    def measure_as_it_is(self, model: str) -> None:
        """Test the models of captioned photos with every number of clips, without further training."""

        def test(seed: int, num_clips: int) -> None:
            name = f"clips_{make_file_name(model)}_seed{seed}"
            recipe = (f"config={RECIPES / 'clips_test.yaml'}",)
            tested = self.test(name, self.clips, self.weights[seed], recipe, num_clips)
            note = "no training on clips"
            self.keep(f"{model}, N_test {num_clips}", seed, [tested.read_outcomes()], {}, note)

        self._run_all([(test, seed, count) for seed in self.weights for count in NUM_TEST_CLIPS])

    def measure_embeddings(self, system: str, model: ClipBert, seed: int) -> None:
        """Test a model whose cross-encoder was never trained: the nearest of the sentences by dot product.

        Args:
            system: its name in tables.
            model: with a contrastive head.
            seed: of its training.
        """
        clips = self.clips
        sentences = sorted({clip.text for clip in clips})
        texts = torch.cat(embed_texts(model, sentences))
        wanted = torch.tensor([sentences.index(clip.text) for clip in clips])
        store = open_store(self.material.clips, media="video")
        for count in NUM_TEST_CLIPS:
            begin = time.perf_counter()
            reader = ClipReader(
                ClipOptions(image_size=224, num_clips=count, num_frames=1, sampling="uniform")
            )
            rows: list[Tensor] = []
            for clip in clips:
                source = store.find(clip.key)
                assert source is not None, clip.key
                visual = model.encode(reader.read_source(source, key=clip.key)).visual
                rows.append(model.network.embed_videos(visual[None]))
            right = (torch.cat(rows) @ texts.T).argmax(1) == wanted
            names = np.array([clip.key for clip in clips])
            found = Outcomes(right.double().numpy(), names, title="accuracy", is_share=True)
            minutes = {"test": (time.perf_counter() - begin) / 60}
            note = "no training on clips; the dot product alone"
            self.keep(f"{system}, N_test {count}", seed, [{"accuracy": found}], minutes, note)

    def measure_tuned(self, tunings: Sequence[Tuning]) -> None:
        """Train further on either half of the groups, and test on the other half."""
        self._run_all([(self._tune, tuning, seed) for tuning in tunings for seed in self.weights])

    def _run_all(self, calls: Sequence[tuple[Any, ...]]) -> None:
        with ThreadPoolExecutor(self.jobs) as pool:
            for done in [pool.submit(*call) for call in calls]:
                done.result()

    def _tune(self, tuning: Tuning, seed: int) -> None:
        found: list[dict[str, Outcomes]] = []
        minutes = 0.0
        for half in (0, 1):
            tuned = self.train(tuning, seed, half)
            minutes += tuned.minutes
            found.append(tuned.read_outcomes())
        self.keep(tuning.system, seed, found, {"training and test": minutes}, tuning.note)

    @property
    def _halves(self) -> tuple[list[Clip], list[Clip]]:
        return split_groups(self.clips)

    @staticmethod
    def _name(tuning: Tuning, seed: int, half: int) -> str:
        return f"clips_{make_file_name(tuning.system)}_seed{seed}_half{half}"

    def train(self, tuning: Tuning, seed: int, half: int) -> Finished:
        """Train a model further on a half of the groups, and test it on the other."""
        name = self._name(tuning, seed, half)
        start = f"{_MODEL}.weights.clipbert={self.weights[seed]}"
        written = [
            f"config={RECIPES / 'clips.yaml'}",
            *self._write_options(name, self._halves[half], self._halves[1 - half]),
        ]
        options = [start, *tuning.options, f"training.seed={seed}", "run_type=train_test"]
        return self.runner.run(name, [*written, *options])

    def test(
        self, name: str, clips: Sequence[Clip], weights: Path, options: Sequence[str], num_clips: int
    ) -> Finished:
        """Test a model on clips, ``num_clips`` clips of each video."""
        written = [
            *self._write_options(name, clips, clips),
            *options,
            f"{_MODEL}.weights.clipbert={weights}",
            f"dataset_config.{DATASET}.processors.eval_media_processor.params.num_clips={num_clips}",
        ]
        return self.runner.run(f"{name}_N{num_clips}", [*written, "run_type=test"])

    def _write_options(self, name: str, train: Sequence[Clip], test: Sequence[Clip]) -> list[str]:
        sentences = sorted({clip.text for clip in self.clips})
        folder, section = self.material.work / "clips", f"dataset_config.{DATASET}"
        files = {
            "train": write_choices(folder / f"{name}_train.jsonl", train, sentences),
            "test": write_choices(folder / f"{name}_test.jsonl", test, sentences),
        }
        files["val"] = files["test"]  # MMF builds every split; it is not read
        return [
            "model=clipbert",
            f"dataset={DATASET}",
            f"{section}.data_dir={self.material.clips.parent}",
            *(f"{section}.annotations.{split}=[{{file: {file}}}]" for split, file in files.items()),
            *(f"{section}.media.{split}={self.material.clips.name}" for split in files),
        ]

    def keep(
        self,
        system: str,
        seed: int,
        parts: list[dict[str, Outcomes]],
        minutes: dict[str, float],
        note: str,
        test: str = TEST,
    ) -> None:
        """Keep the accuracy of a system, whose parts are tests of different clips."""
        groups = {clip.key: clip.group for clip in self.clips}
        rows = [part["accuracy"] for part in parts]
        media = np.concatenate([one.media for one in rows])
        accuracy = replace(rows[0], values=np.concatenate([one.values for one in rows]), media=media)
        outcomes = {"accuracy": accuracy.name_media(groups)}
        machine = describe_machine(self.runner.device)
        self.store.keep(Result(system, test, seed, outcomes, minutes, machine, note))

    def measure_probe(self) -> None:
        """Measure a linear probe of frozen frames, on the same halves."""
        begin = time.perf_counter()
        clips = self.clips
        features = self._read_features(clips)
        actions = np.array([clip.action for clip in clips])
        groups = np.array([clip.group for clip in clips])
        names = [clip.key for clip in clips]
        found: list[dict[str, Outcomes]] = []
        strengths: list[float] = []
        halves = [np.isin(names, [clip.key for clip in half]) for half in split_groups(clips)]
        for own, other in (halves, halves[::-1]):
            right, strength = probe(features[own], actions[own], groups[own], features[other], actions[other])
            strengths.append(strength)
            media = np.array(names)[other]
            found.append({"accuracy": Outcomes(right.astype(float), media, title="accuracy", is_share=True)})
        note = (
            f"logistic regression on EfficientNet-Lite0, {NUM_PROBE_CLIPS} frames, C {', '.join(map(str, strengths))} "
            "chosen by cross-validation over groups; each half tested with the other's"
        )
        minutes = {"features and training": (time.perf_counter() - begin) / 60}
        self.keep(PROBE, 0, found, minutes, note)

    def _read_features(self, clips: Sequence[Clip]) -> np.ndarray:
        options = ClipOptions(image_size=224, num_clips=NUM_PROBE_CLIPS, num_frames=1, sampling="uniform")
        reader, store = ClipReader(options), open_store(self.material.clips, media="video")

        def read(key: str) -> Tensor:
            source = store.find(key)
            assert source is not None, key
            return reader.read_source(source, key=key).frames.flatten(0, 1)

        network = build_frozen(lite0_backbone(), {"backbone": LITE0})
        layers: dict[str, torch.nn.Module | None] = {"head_conv": build_lite0_head()}
        return embed_photos(network, layers, [clip.key for clip in clips], read, self.runner.device)[
            "head_conv"
        ]


def run_part(part: str, material: Material, options: argparse.Namespace) -> None:
    """Run ``zero_shot``, ``clips`` or ``as_it_is``; the models of photos are trained before."""
    store = ResultStore(material.work / "results")
    runner = Runner(material.work / "runs", options.device, tuple(options.options))
    if part == "zero_shot":
        photos, recipes = Flickr8k(material, store, runner), RECIPES_OF_PART["first"]
        actions = Actions(material, store, runner)
        if not store.has(PROBE, TEST, 0):
            actions.measure_probe()
        for seed in range(1, options.seeds + 1):
            place = photos.train(recipes[0], seed, recipes).weights
            model = ClipBert.from_pretrained(place)
            actions.measure_embeddings("first stage", model, seed)
        return
    start = "second" if part == "as_it_is" else "first"
    photos, recipes = Flickr8k(material, store, runner), RECIPES_OF_PART[start]
    weights = {seed: photos.train(recipes[-1], seed, recipes).weights for seed in range(1, options.seeds + 1)}
    actions = Actions(material, store, runner, weights, options.jobs)
    if part == "as_it_is":
        actions.measure_as_it_is("model of photos")
    else:
        actions.measure_tuned([FINE_TUNED, FROZEN])


def probe(
    train: np.ndarray, labels: np.ndarray, groups: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return which test rows a logistic regression labels correctly, and its strength.

    Args:
        train: ``(rows, size)``.
        labels: ``(rows,)``.
        groups: ``(rows,)``; rows of a group are on one side of every fold.
        test: ``(others, size)``.
        test_labels: ``(others,)``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A class of one group is missing from the training part of a fold, whatever the strength.
    folds = StratifiedGroupKFold(2, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    search = GridSearchCV(model, {"logisticregression__C": list(_PROBE_STRENGTHS)}, cv=folds)
    search.fit(train, labels, groups=groups)
    return search.predict(test) == test_labels, float(search.best_params_["logisticregression__C"])
