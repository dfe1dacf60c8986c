"""The real-data benchmark on made-up photos, clips and features in the layout of the real material."""

import argparse
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.modules.backbones.registry import BACKBONES
from clipbert_mmf.scoring.outcomes import Outcomes
from real_benchmark import tables, towers, trends
from real_benchmark.clips import (
    FINE_TUNED,
    PROBE,
    TEST,
    Clip,
    probe,
    read_clips,
    split_groups,
    write_choices,
)
from real_benchmark.features import TEXT_LAYERS, Features, read_corpus
from real_benchmark.flickr8k import DATASET, Flickr8k, Recipe, count_chance, name_test, write_data_options
from real_benchmark.linear import (
    choose_map,
    fit_captions_to_photos,
    fit_correlations,
    fit_photos_to_captions,
    measure_split,
)
from real_benchmark.material import Material, MissingMaterialError
from real_benchmark.page import write_page
from real_benchmark.runs import RECIPES, Runner
from real_benchmark.systems import RECALLS, RETRIEVAL, Result, ResultStore, make_file_name, summarize

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train",) * 12 + ("val",) * 4 + ("test",) * 4
WORDS = ("red", "green", "blue", "dog", "house", "tree", "runs", "sleeps", "big", "small")


def make_material(folder):
    """Write 20 photos of one colour each, with five captions, as the real material lies."""
    (folder / "flickr8k").mkdir()
    images = []
    with tarfile.open(folder / "flickr8k" / "photos.tar", "w") as tar:
        for number, split in enumerate(SPLITS):
            name = f"{1000 + number}_photo.jpg"
            file = io.BytesIO()
            Image.new("RGB", (32, 32), (12 * number, 255 - 12 * number, 90)).save(file, "JPEG")
            entry = tarfile.TarInfo(name)
            entry.size = file.tell()
            file.seek(0)
            tar.addfile(entry, file)
            sentences = [
                {"raw": f"{WORDS[number % 10]} {WORDS[(number + place) % 10]}", "sentid": 5 * number + place}
                for place in range(5)
            ]
            images.append({"filename": name, "split": split, "sentences": sentences})
    (folder / "flickr8k" / "dataset_flickr8k.json").write_text(json.dumps({"images": images}))
    return Material(folder, folder / "work")


def make_features(noise):
    """Return features of 60 photos whose captions are a linear function of them, with noise."""
    random = np.random.default_rng(0)
    images = random.normal(size=(60, 12))
    photo_of_caption = np.arange(60).repeat(5)
    texts = images[photo_of_caption] @ random.normal(size=(12, 12)) + noise * random.normal(size=(300, 12))
    splits = np.array(["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    photos = np.array([f"photo{number:02}" for number in range(60)])
    deep = np.tile(texts, (1, len(TEXT_LAYERS)))
    return Features({"last_stage": images}, deep, photos, splits, photo_of_caption, photos[photo_of_caption])


@pytest.mark.parametrize("fit", [fit_photos_to_captions, fit_captions_to_photos, fit_correlations])
def test_a_linear_map_finds_captions_that_are_a_linear_function_of_the_photos(fit):
    features = make_features(noise=0.05)
    numbers = measure_split(choose_map(features, "last_stage", fit), features, "last_stage", "test")
    assert numbers["t2v_r1"] > 0.9 and numbers["v2t_r1"] > 0.9 and numbers["num_items"] == 10


def test_towers_of_the_recipe_are_fitted_to_the_features_and_kept_once(tmp_path, monkeypatch):
    features = make_features(noise=0.05)
    images = features.images["last_stage"]
    features = replace(features, images={"head_conv": images, "last_stage": images[:, :3]})
    small = {"contrastive": {"size": 24, "width": 16, "dropout": 0.1}}
    changes = {"model_config": {"clipbert": small}, "training": {"first_stage": {"epochs": 20}}}
    monkeypatch.setattr(towers, "fit_head", partial(towers.fit_head, changes=changes))
    store, told = ResultStore(tmp_path), []
    for _ in range(2):
        towers.measure_seeds(features, store, [1, 2], {"10 x 50": ("test", None)}, told.append)
    found = store.load("10 x 50")[towers.SYSTEM]
    assert [one.seed for one in found] == [1, 2] and len(told) == 2
    assert all(one.outcomes["t2v_r1"].value > 0.5 for one in found)


def test_a_linear_map_is_chosen_on_the_validation_photos_alone():
    features = make_features(noise=0.5)
    chosen = choose_map(features, "last_stage", fit_photos_to_captions)
    features.images["last_stage"][features.photos_of("test")] = 0
    again = choose_map(features, "last_stage", fit_photos_to_captions)
    assert again.strength == chosen.strength
    assert measure_split(chosen, features, "last_stage", "test", num_photos=4)["num_items"] == 4


def test_features_come_back_from_their_file(tmp_path):
    features = make_features(noise=0.1)
    features.save(tmp_path / "work" / "features.npz")
    again = Features.load(tmp_path / "work" / "features.npz")
    assert list(again.images) == ["last_stage"] and np.array_equal(again.texts, features.texts)
    assert np.array_equal(again.captions_of("val"), np.arange(200, 250))


def test_results_have_intervals_spread_over_seeds_and_paired_tests(tmp_path):
    features, store = make_features(noise=1.0), ResultStore(tmp_path)
    found = choose_map(features, "last_stage", fit_photos_to_captions)
    measured = measure_split(found, features, "last_stage", "test")
    blank = Features(
        {"last_stage": np.ones((60, 12))}, features.deep_texts, features.photos,
        features.splits, features.photo_of_caption, features.captions,
    )  # fmt: skip
    worse = measure_split(found, blank, "last_stage", "test")
    store.keep(Result("ridge", name_test(10), 0, measured.outcomes, {"training": 1.0}, "a machine", "a note"))
    for seed in (2, 1):
        store.keep(Result("blank", name_test(10), seed, worse.outcomes, {"training": seed}))
    assert (
        store.tests() == ["10 x 50"] and store.has("blank", "10 x 50", 2) and not store.has("b", "10 x 50", 2)
    )
    ridge, blank_row = summarize(store.load("10 x 50"), RETRIEVAL, against=["ridge"])
    assert ridge["numbers"]["t2v_r5"]["value"] == measured["t2v_r5"] and ridge["differences"] == {}
    low, high = ridge["numbers"]["t2v_r5"]["interval"]
    assert low <= measured["t2v_r5"] <= high
    assert blank_row["seeds"] == [1, 2] and blank_row["minutes"] == {"training": 1.5}
    assert blank_row["numbers"]["t2v_r1"]["std"] == 0
    assert set(blank_row["differences"]["ridge"]) == set(RECALLS)
    assert blank_row["differences"]["ridge"]["t2v_r5"]["is_significant"]


def keep_accuracy(store, system, values, seed=1, test=TEST):
    groups = np.array([f"group{number // 2}" for number in range(40)])
    rows = Outcomes(np.array(values, dtype=float), groups, title="accuracy", is_share=True)
    store.keep(Result(system, test, seed, {"accuracy": rows}, {"training": 2.0}, "a machine", "a setting"))


def test_the_page_is_made_from_json_and_made_again_in_its_place(tmp_path):
    features, material = make_features(noise=0.5), Material(tmp_path / "data", tmp_path / "work")
    store, results = ResultStore(material.work / "results"), tmp_path / "docs" / "results"
    for system, fit in (("first stage", fit_photos_to_captions), ("both stages", fit_correlations)):
        measured = measure_split(choose_map(features, "last_stage", fit), features, "last_stage", "test")
        store.keep(Result(system, name_test(10), 1, measured.outcomes, {system: 3.0}, "a machine", "k"))
        store.keep(Result(f"{system}, k = 5", f"curve {name_test(10)}", 1, measured.outcomes))
    keep_accuracy(store, PROBE, [1, 0] * 20, seed=0)
    keep_accuracy(store, FINE_TUNED.system, [1] * 40)
    keep_accuracy(store, trends.BASE.system, [1] * 40, test=trends.TEST)
    keep_accuracy(store, "from ImageNet and MiniLM", [0] * 30 + [1] * 10, test=trends.TEST)
    options = argparse.Namespace(results=results)
    tables.run_part("tables", material, options)
    assert (
        json.loads((results / "real_clips.json").read_text())["rows"][1]["numbers"]["accuracy"]["value"] == 1
    )
    (trend,) = json.loads((results / "real_trends.json").read_text())["trends"]
    assert trend["ours"] == [1.0, 0.25] and trend["difference"]["is_significant"]
    page = tmp_path / "docs" / "results.md"
    page.write_text("# Results\n\nBefore.\n")
    write_page(results, page)
    made = page.read_text()
    write_page(results, page)
    assert page.read_text() == made and made.startswith("# Results\n\nBefore.\n")
    assert f"| {FINE_TUNED.system} | 100.0 (" in made and "+50.0 (" in made and "as in the paper" in made
    assert "| DVSA, R-CNN regions | Karpathy and Fei-Fei 2015 | 11.8, 32.1, 44.7 |" in made
    assert "Above first stage" in made and (tmp_path / "docs" / "figures" / "real_candidates.png").is_file()


def test_chance_is_what_random_orders_reach():
    chance = count_chance(1000)
    assert chance["t2v_r10"] == pytest.approx(0.01) and chance["t2v_median_rank"] == 500.5
    assert chance["v2t_r1"] == pytest.approx(0.001) and 640 < chance["v2t_median_rank"] < 650


def test_the_material_is_read_by_the_package_in_the_official_split(tmp_path):
    material = make_material(tmp_path)
    rows = list(read_corpus(material.captions))
    assert [sum(split == wanted for split, _, _ in rows) for wanted in ("train", "val", "test")] == [
        60,
        20,
        20,
    ]
    assert rows[0] == ("train", "1000_photo", "red red")
    assert material.write_test_photos(2).read_text() == "1016_photo.jpg\n1017_photo.jpg\n"
    with pytest.raises(MissingMaterialError, match="has no ucf20/clips.csv"):
        material.require(["ucf20/clips.csv"])


@pytest.mark.long
def test_a_system_is_trained_and_tested_with_the_commands_of_the_package(tmp_path, tokenizer_dir):
    material, store = make_material(tmp_path), ResultStore(tmp_path / "results")
    recipe = ROOT / "projects" / "clipbert" / "configs" / DATASET / "demo.yaml"
    tokenizer = f"dataset_config.{DATASET}.processors.text_processor.params.tokenizer={tokenizer_dir}"
    sizes = ("training.max_updates=1", "training.batch_size=4", "training.num_workers=0")
    extra = ("model_config.clipbert.contrastive.weight=1", tokenizer, *sizes)
    told = []
    system = Flickr8k(
        material, store, Runner(tmp_path / "runs", extra=extra, tell=told.append), test_photos=2
    )
    tiny = Recipe("tiny model", str(recipe), has_cross_encoder=False)
    system._keep(tiny, 1, [tiny], 2, 1, "")
    commands = len([line for line in told if line.startswith("==>")])
    system._keep(tiny, 1, [tiny], 2, 1, "")
    assert commands == 2 == len([line for line in told if line.startswith("==>")])
    (row,) = summarize(store.load("2 x 10"), RETRIEVAL)
    assert row["system"] == "tiny model" and set(row["minutes"]) == {"tiny model", "test"}
    assert (
        row["note"] == "best 1 of each query by the dot product" and row["numbers"]["t2v_r5"]["value"] == 1.0
    )


def test_options_of_the_data_name_the_official_split(tmp_path):
    options = write_data_options(make_material(tmp_path), num_test_photos=2)
    assert any("annotations.test=" in option and "only: " in option for option in options)
    assert sum("photos.tar" in option for option in options) == 3


def test_groups_stay_together_and_every_action_is_in_both_halves(tmp_path):
    clips = [
        Clip(f"v_{action}_g{group}_c{number}.mp4", f"a person does {action}", action, f"{action}_g{group}")
        for action in ("Archery", "Biking", "Bowling")
        for group in range(3)
        for number in range(2)
    ]
    first, second = split_groups(clips)
    assert not {clip.group for clip in first} & {clip.group for clip in second}
    assert {clip.action for clip in first} == {clip.action for clip in second} and len(first + second) == 18
    table = tmp_path / "clips.csv"
    table.write_text("video,text,class,group\n" + "".join(
        f"{clip.video},{clip.text},{clip.action},{clip.group}\n" for clip in clips
    ))  # fmt: skip
    assert read_clips(table) == clips
    sentences = sorted({clip.text for clip in clips})
    lines = [json.loads(line) for line in write_choices(tmp_path / "a.jsonl", second, sentences).open()]
    assert lines[0]["options"] == sentences and sentences[lines[0]["answer"]] == second[0].text


def test_a_probe_labels_other_groups_by_separable_features():
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    labels = np.array(["a", "b"]).repeat(12)
    rows = random.normal(size=(24, 6)) + 4 * (labels == "a")[:, None]
    right, strength = probe(rows, labels, np.arange(24) % 6, rows + 0.1, labels)
    assert right.all() and strength > 0


def test_the_script_names_what_is_not_there(tmp_path):
    result = subprocess.run(
        ["bash", "tools/real_benchmark.sh", str(tmp_path), "--work", str(tmp_path / "work"), "--parts", "baselines"],
        cwd=ROOT, capture_output=True, text=True, env={"CLIPBERT_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert result.returncode == 2 and "has no flickr8k/photos.tar" in result.stderr


def test_cached_grids_and_the_stages_behind_them_are_the_backbone():
    pytest.importorskip("timm")
    torch.manual_seed(0)
    recipe = read_yaml(RECIPES / "clips.yaml")["model_config"]["clipbert"]
    config = parse_model_config(recipe).backbone
    backbone = BACKBONES[config.type].build(config.options, False).eval()
    frames = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    upper = trends.UpperStages(backbone)
    with torch.no_grad():
        grids, whole = upper.encode(frames), backbone(frames)
        torch.testing.assert_close(upper(grids), whole, rtol=1e-2, atol=1e-2 * float(whole.abs().max()))
    trained = {name for name, value in upper.named_parameters() if value.requires_grad}
    assert trained and all("blocks.5" in name or "blocks.6" in name or "head" in name for name in trained)


def test_sparse_clips_are_drawn_and_dense_ones_are_not():
    torch.manual_seed(0)
    dense = [trends._draw_places(trends.Variant("", num_clips=4, is_dense=True)).tolist() for _ in range(20)]
    assert {tuple(places) for places in dense} == {(1, 3, 5, 7), (9, 11, 13, 15)}
    sparse = [trends._draw_places(trends.BASE).tolist() for _ in range(20)]
    assert len({tuple(places) for places in sparse}) > 10
    assert all(len(set(places)) == 2 and places[0] // 8 == places[1] // 8 for places in sparse)


def test_a_systems_name_becomes_a_file_that_a_list_of_options_can_hold():
    assert make_file_name("fine-tuned, frozen backbone") == "fine_tuned_frozen_backbone"
