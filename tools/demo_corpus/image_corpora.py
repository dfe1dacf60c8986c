"""Writes the corpora of images in their owners' formats.

COCO Captions, Visual Genome, VQA 2.0, Hateful Memes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from demo_corpus.media import render_still
from demo_corpus.sizes import Sizes, run_jobs
from demo_corpus.video_corpora import write_json
from demo_corpus.world import (
    COLOURS,
    NUMBERS,
    SHAPES,
    Thing,
    ask_about,
    describe_still,
    draw_distinct,
    draw_thing,
)

#: People who answer each question of VQA, and the share who get it wrong.
NUM_PEOPLE, SHARE_WRONG = 10, 0.12


def make_still(job: tuple[str, list[Thing], list[int]]) -> tuple[int, int]:
    """Render one picture; return its width and height in pixels."""
    path, things, seed = job
    return render_still(Path(path), things, seed)


# ---- COCO Captions


def write_coco(out: Path, sizes: Sizes, pool) -> None:
    """Write stills and ``captions_<year>.json`` per split, and Karpathy's one file of all."""
    first, karpathy = 1, []
    for year, count in (("train2014", sizes.num_images), ("val2014", sizes.num_val_images)):
        directory = out / "images" / year
        directory.mkdir(parents=True, exist_ok=True)
        jobs, captions = [], []
        for number in range(first, first + count):
            rng = np.random.default_rng([sizes.seed, 3, number])
            things = [draw_thing(rng)]
            if rng.random() < 0.4:
                things.append(draw_thing(rng, things[0].colour, things[0].place))
            name = f"COCO_{year}_{number:012d}.jpg"
            jobs.append((str(directory / name), things, [sizes.seed, 4, number]))
            captions.append(describe_still(things, rng, 2))
        pictures = run_jobs(pool, make_still, jobs, f"coco {year}")
        numbers = range(first, first + count)
        write_json(
            out / f"captions_{year}.json",
            {
                "images": [
                    {"id": number, "file_name": Path(job[0]).name, "width": width, "height": height}
                    for number, job, (width, height) in zip(numbers, jobs, pictures, strict=True)
                ],
                "annotations": [
                    {"image_id": number, "id": 10 * number + i, "caption": caption}
                    for number, texts in zip(numbers, captions, strict=True)
                    for i, caption in enumerate(texts)
                ],
            },
        )
        karpathy += [
            _karpathy_entry(number, year, Path(job[0]).name, texts)
            for number, job, texts in zip(numbers, jobs, captions, strict=True)
        ]
        first += count
    write_json(out / "dataset_coco.json", {"dataset": "coco", "images": karpathy})


def _karpathy_entry(number: int, year: str, name: str, texts: list[str]) -> dict:
    # Half of the validation images test; a few training images are "restval".
    split = ("val", "test")[number % 2] if year == "val2014" else ("restval" if number % 10 == 0 else "train")
    sentences = [{"raw": text, "sentid": 10 * number + i, "imgid": number} for i, text in enumerate(texts)]
    return {
        "filepath": year,
        "filename": name,
        "split": split,
        "cocoid": number,
        "imgid": number,
        "sentences": sentences,
    }


# ---- Visual Genome


def write_visual_genome(out: Path, sizes: Sizes, pool) -> None:
    """Write ``region_descriptions.json``, images in two folders as the owners have them."""
    jobs, document, region = [], [], 1
    for number in range(1, sizes.num_images + 1):
        rng = np.random.default_rng([sizes.seed, 13, number])
        things = draw_distinct(rng, int(rng.integers(1, 4)))
        folder = out / "images" / ("VG_100K" if number % 2 else "VG_100K_2")
        folder.mkdir(parents=True, exist_ok=True)
        jobs.append((str(folder / f"{number}.jpg"), things, [sizes.seed, 14, number]))
        regions = []
        for thing in things:
            regions.append(
                {
                    "region_id": region,
                    "image_id": number,
                    "phrase": thing.phrase,
                    "x": 0,
                    "y": 0,
                    "width": 9,
                    "height": 9,
                }
            )
            region += 1
        document.append({"id": number, "regions": regions})
    run_jobs(pool, make_still, jobs, "visual genome")
    write_json(out / "region_descriptions.json", document)


# ---- VQA 2.0


def write_vqa2(out: Path, sizes: Sizes, pool) -> None:
    """Write questions and ten answers to each; some people are wrong."""
    first = 1
    for subtype, count in (("train2014", sizes.num_images), ("val2014", sizes.num_val_images)):
        directory = out / "images" / subtype
        directory.mkdir(parents=True, exist_ok=True)
        jobs, questions, annotations = [], [], []
        for number in range(first, first + count):
            rng = np.random.default_rng([sizes.seed, 15, number])
            things = draw_distinct(rng, int(rng.integers(1, 4)))
            jobs.append(
                (str(directory / f"COCO_{subtype}_{number:012d}.jpg"), things, [sizes.seed, 16, number])
            )
            for i, (question, answer, kind) in enumerate(_ask_image(things, rng)):
                identity = 1000 * number + i
                questions.append({"image_id": number, "question": question, "question_id": identity})
                annotations.append(
                    {
                        "question_id": identity,
                        "image_id": number,
                        "question_type": " ".join(question.split()[:2]),
                        "answer_type": kind,
                        "multiple_choice_answer": answer,
                        "answers": _answer(answer, kind, rng),
                    }
                )
        run_jobs(pool, make_still, jobs, f"vqa2 {subtype}")
        about = {"info": {}, "data_type": "mscoco", "data_subtype": subtype, "license": {}}
        write_json(
            out / f"v2_OpenEnded_mscoco_{subtype}_questions.json",
            {**about, "task_type": "Open-Ended", "questions": questions},
        )
        write_json(out / f"v2_mscoco_{subtype}_annotations.json", {**about, "annotations": annotations})
        first += count


def _ask_image(things: list[Thing], rng: np.random.Generator) -> list[tuple[str, str, str]]:
    asked = [(question, answer, "other") for question, answer, _ in ask_about(things[0], things[1:], rng)[:4]]
    asked.append(("how many things are in the picture ?", NUMBERS[len(things)], "number"))
    present = rng.random() < 0.5
    thing = things[int(rng.integers(len(things)))]
    colour = thing.colour
    if not present:
        colour = str(rng.choice([c for c in COLOURS if all(other.colour != c for other in things)]))
    asked.append((f"is there a {colour} thing ?", "yes" if present else "no", "yes/no"))
    return asked


def _answer(answer: str, kind: str, rng: np.random.Generator) -> list[dict]:
    wrong = {"yes/no": ["yes", "no"], "number": list(NUMBERS[1:5])}.get(kind, [*COLOURS, *SHAPES])
    said = [str(rng.choice(wrong)) if rng.random() < SHARE_WRONG else answer for _ in range(NUM_PEOPLE)]
    return [{"answer": text, "answer_confidence": "yes", "answer_id": i + 1} for i, text in enumerate(said)]


# ---- Hateful Memes


def write_memes(out: Path, sizes: Sizes, pool) -> None:
    """Write ``{train,dev,test}.jsonl`` and images where MMF's builder looks.

    Label 1: the text does not fit the picture.
    """
    root = out / "datasets" / "hateful_memes" / "defaults"
    for name in ("annotations", "images/img"):
        (root / name).mkdir(parents=True, exist_ok=True)
    first = 1
    for split, count in (
        ("train", sizes.num_images),
        ("dev", sizes.num_val_images),
        ("test", sizes.num_val_images),
    ):
        jobs, lines = [], []
        for number in range(first, first + count):
            rng = np.random.default_rng([sizes.seed, 17, number])
            things = draw_distinct(rng, int(rng.integers(1, 3)))
            label = number % 2
            # None of the colours that are told is in the picture.
            told = [draw_thing(rng) for _ in things] if label else things
            while label and {thing.colour for thing in told} & {thing.colour for thing in things}:
                told = [draw_thing(rng) for _ in things]
            image = f"img/{number:05d}.png"
            jobs.append((str(root / "images" / image), things, [sizes.seed, 18, number]))
            lines.append(
                {"id": number, "img": image, "label": label, "text": describe_still(told, rng, 1)[0]}
            )
        run_jobs(pool, make_still, jobs, f"hateful memes {split}")
        content = "".join(json.dumps(line) + "\n" for line in lines)
        (root / "annotations" / f"{split}.jsonl").write_text(content, encoding="utf-8")
        first += count
