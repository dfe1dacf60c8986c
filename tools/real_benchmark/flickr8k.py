"""Flickr8k, official split: baselines between frozen features, and the systems that the package trains."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clipbert_mmf.scoring.chance import guess_first_rank, guess_recall
from clipbert_mmf.scoring.outcomes import Outcomes
from real_benchmark import towers
from real_benchmark.features import Features, extract_flickr8k
from real_benchmark.linear import (
    choose_map,
    fit_captions_to_photos,
    fit_correlations,
    fit_photos_to_captions,
    measure_split,
)
from real_benchmark.material import Material
from real_benchmark.runs import RECIPES, Finished, Runner
from real_benchmark.systems import Result, ResultStore, describe_machine

DATASET = "coco_captions_retrieval"
#: Photos of the tests: all of the official one, and those of which all pairs are scored.
ALL_PHOTOS, EXACT_PHOTOS = 1000, 200
#: Candidates of each query that the cross-encoder ranks.
NUM_CANDIDATES = 20
#: ``evaluation.rerank_top_k`` that leaves all to the dot product.
DOT_PRODUCT = 0
#: Candidates of the curve.
CURVE = (DOT_PRODUCT, 1, 2, 5, 10, 20, 50)
#: All validation photos: recipes are chosen there.
VALIDATION = "validation"
_FITS = {
    "ridge, photos to captions": fit_photos_to_captions,
    "ridge, captions to photos": fit_captions_to_photos,
    "canonical correlation": fit_correlations,
}


def name_test(num_photos: int) -> str:
    """Return the name of the test on the first photos, five captions each."""
    return f"{num_photos} x {5 * num_photos}"


def load_features(material: Material, device: str, tell: Callable[[str], None]) -> Features:
    """Return the frozen features; where no file holds them, they are extracted and kept."""
    if not material.features.is_file():
        tell("==> frozen features of EfficientNet-Lite0 and MiniLM")
        extract_flickr8k(material.photos, material.captions, device=device, tell=tell).save(material.features)
    return Features.load(material.features)


def measure_baselines(
    material: Material, store: ResultStore, device: str, tell: Callable[[str], None]
) -> None:
    """Keep what linear maps between the frozen features reach."""
    features = load_features(material, device, tell)
    for layer in features.images:
        for name, fit in _FITS.items():
            begin = time.perf_counter()
            found = choose_map(features, layer, fit)
            minutes = {"features": features.seconds / 60, "training": (time.perf_counter() - begin) / 60}
            system = f"{name}, {layer.replace('_', ' ')}"
            tell(f"    {system}: strength {found.strength:g}")
            for num_photos in (ALL_PHOTOS, EXACT_PHOTOS):
                measured = measure_split(found, features, layer, "test", num_photos)
                note = f"regularisation {found.strength:g} of the mean variance, chosen on val"
                store.keep(
                    Result(
                        system,
                        name_test(len(features.photos_of("test")[:num_photos])),
                        0,
                        measured.outcomes,
                        minutes,
                        describe_machine(device),
                        note,
                    )
                )
            tell(f"    test: {_format(measure_split(found, features, layer, 'test'))}")


def _format(numbers: dict[str, float]) -> str:
    shares = [f"{100 * numbers[f'{way}_r{depth}']:.1f}" for way in ("t2v", "v2t") for depth in (1, 5, 10)]
    return f"text to image {', '.join(shares[:3])}; image to text {', '.join(shares[3:])}"


@dataclass(frozen=True)
class Recipe:
    """How one system is trained.

    Attributes:
        system: its name in tables.
        file: of the recipe, below ``projects/clipbert/configs/real``.
        start: system whose weights it starts from.
        options: further options of ``mmf_run``.
        has_cross_encoder: whether its cross-encoder was trained; else the dot product alone ranks.
    """

    system: str
    file: str
    start: str | None = None
    options: tuple[str, ...] = ()
    has_cross_encoder: bool = True


#: Part of the benchmark -> the systems that it trains, in order.
RECIPES_OF_PART: dict[str, tuple[Recipe, ...]] = {
    "first": (Recipe("first stage", "first_stage.yaml", has_cross_encoder=False),),
    "second": (
        Recipe("first stage", "first_stage.yaml", has_cross_encoder=False),
        Recipe("both stages", "second_stage.yaml", "first stage"),
    ),
    "alone": (Recipe("second stage alone", "second_stage.yaml"),),
}


def write_data_options(material: Material, num_test_photos: int | None = None) -> list[str]:
    """Return the options that say where photos and captions are.

    Args:
        material: the downloaded material.
        num_test_photos: the first photos of the test; None for all.
    """
    section, file = f"dataset_config.{DATASET}", material.captions.name
    only = ""
    if num_test_photos is not None:
        only = f", only: {material.write_test_photos(num_test_photos).resolve()}"
    return [
        f"{section}.data_dir={material.captions.parent}",
        *(f"{section}.annotations.{split}=[{{file: {file}, split: {split}}}]" for split in ("train", "val")),
        f"{section}.annotations.test=[{{file: {file}, split: test{only}}}]",
        *(f"{section}.media.{split}={material.photos.name}" for split in ("train", "val", "test")),
    ]


@dataclass(frozen=True)
class Flickr8k:
    """Trains and tests systems.

    Attributes:
        material: the downloaded material.
        store: keeps what they reach.
        runner: runs them.
        test_photos: photos of the first test; fewer than all for a trial.
    """

    material: Material
    store: ResultStore
    runner: Runner
    test_photos: int = ALL_PHOTOS

    def train(self, recipe: Recipe, seed: int, recipes: Sequence[Recipe]) -> Finished:
        """Train a system, and before it the one that it starts from."""
        options = [*self._write_start(recipe), *write_data_options(self.material)]
        if recipe.start:
            first = next(one for one in recipes if one.system == recipe.start)
            options.append(
                f"model_config.clipbert.weights.clipbert={self.train(first, seed, recipes).weights}"
            )
        name = f"{recipe.system.replace(' ', '_')}_seed{seed}"
        return self.runner.run(
            name, [*options, *recipe.options, f"training.seed={seed}", "run_type=train_val"]
        )

    def _write_start(self, recipe: Recipe) -> list[str]:
        return [f"config={RECIPES / recipe.file}", "model=clipbert", f"dataset={DATASET}"]

    def count_minutes(self, recipe: Recipe, seed: int, recipes: Sequence[Recipe]) -> dict[str, float]:
        """Return the minutes of each training that led to a system."""
        before: dict[str, float] = {}
        if recipe.start:
            first = next(one for one in recipes if one.system == recipe.start)
            before = self.count_minutes(first, seed, recipes)
        return {**before, recipe.system: self.train(recipe, seed, recipes).minutes}

    def test(
        self, recipe: Recipe, trained: Finished, seed: int, num_photos: int, top_k: int | None
    ) -> Finished:
        """Test a trained system on the first photos of the test.

        Args:
            recipe: of the system.
            trained: its run.
            seed: of its training.
            num_photos: at least 1.
            top_k: candidates of each query that the cross-encoder ranks; None ranks
                all pairs.
        """
        k = "all" if top_k is None else str(top_k)
        name = f"{recipe.system.replace(' ', '_')}_seed{seed}_test_{num_photos}_k_{k}"
        count = None if num_photos >= ALL_PHOTOS else num_photos
        options = [
            *self._write_start(recipe),
            *write_data_options(self.material, count),
            *recipe.options,
            f"model_config.clipbert.weights.clipbert={trained.weights}",
            f"evaluation.rerank_top_k={'null' if top_k is None else top_k}",
            "run_type=test",
        ]
        return self.runner.run(name, options)

    def run(self, part: str, seeds: Sequence[int], curve: Sequence[int] = ()) -> None:
        """Train and test the systems of a part with every seed.

        Args:
            part: a key of ``RECIPES_OF_PART``.
            seeds: of the trainings.
            curve: candidates at which the last system is tested too, with the first seed.
        """
        recipes = RECIPES_OF_PART[part]
        for seed in seeds:
            for recipe in recipes:
                self._measure(recipe, seed, recipes)
            if seed == seeds[0] and recipes[-1].has_cross_encoder:
                for top_k in curve:
                    self._keep(
                        recipes[-1], seed, recipes, self.test_photos, top_k, f", k = {top_k}", "curve "
                    )

    def _measure(self, recipe: Recipe, seed: int, recipes: Sequence[Recipe]) -> None:
        exact = min(EXACT_PHOTOS, self.test_photos)
        if recipe.has_cross_encoder:
            self._keep(recipe, seed, recipes, self.test_photos, NUM_CANDIDATES, "")
            self._keep(recipe, seed, recipes, self.test_photos, DOT_PRODUCT, ", dot product alone")
            self._keep(recipe, seed, recipes, exact, None, "")
        else:
            self._keep(recipe, seed, recipes, self.test_photos, DOT_PRODUCT, "")
        self._keep(
            recipe,
            seed,
            recipes,
            exact,
            DOT_PRODUCT,
            ", dot product alone" if recipe.has_cross_encoder else "",
        )

    def _keep(
        self,
        recipe: Recipe,
        seed: int,
        recipes: Sequence[Recipe],
        num_photos: int,
        top_k: int | None,
        setting: str,
        kind: str = "",
    ) -> None:
        """Test a system and keep what it reaches as that of its name and ``setting``."""
        tested = self.test(recipe, self.train(recipe, seed, recipes), seed, num_photos, top_k)
        if top_k is None:
            note = "all pairs"
        elif top_k == DOT_PRODUCT:
            note = "order of the dot product"
        else:
            note = f"best {top_k} of each query by the dot product"
        minutes = {**self.count_minutes(recipe, seed, recipes), "test": tested.minutes}
        machine = describe_machine(self.runner.device)
        test = kind + name_test(num_photos)
        outcomes: dict[str, Outcomes] = tested.read_outcomes()
        self.store.keep(Result(recipe.system + setting, test, seed, outcomes, minutes, machine, note))


def run_part(part: str, material: Material, options: argparse.Namespace) -> None:
    """Run a part of the benchmark with the options of its command line."""
    store = ResultStore(material.work / "results")
    if part == "baselines":
        measure_baselines(material, store, options.device, print)
        return
    if part == "towers":
        features = load_features(material, options.device, print)
        tests = {name_test(count): ("test", count) for count in (ALL_PHOTOS, EXACT_PHOTOS)}
        seeds = range(1, options.seeds + 1)
        towers.measure_seeds(features, store, seeds, {**tests, VALIDATION: ("val", None)})
        return
    runner = Runner(material.work / "runs", options.device, tuple(options.options))
    photos = Flickr8k(material, store, runner, options.test_photos)
    photos.run(part, range(1, options.seeds + 1), CURVE if options.curve else ())


def count_chance(num_photos: int) -> dict[str, float]:
    """Return what a random order reaches on a test of five captions a photo."""
    return {
        **{f"t2v_r{depth}": guess_recall(num_photos, depth) for depth in (1, 5, 10)},
        "t2v_median_rank": guess_first_rank(num_photos),
        **{f"v2t_r{depth}": guess_recall(5 * num_photos, depth, 5) for depth in (1, 5, 10)},
        "v2t_median_rank": float(np.median(_first_ranks(num_photos))),
    }


def _first_ranks(num_photos: int) -> np.ndarray:
    """Return ranks at evenly spread shares of a random order's first correct of five captions."""
    shares = (np.arange(1001) + 0.5) / 1001
    # The share of orders whose first correct caption lies within a part p of them is 1 - (1 - p) ** 5.
    return np.ceil(5 * num_photos * (1 - (1 - shares) ** 0.2))
