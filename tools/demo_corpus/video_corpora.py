"""Writes the corpora of videos in their owners' formats.

MSR-VTT with its questions, TGIF-QA, DiDeMo, ActivityNet.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from demo_corpus.media import render_frames, write_video
from demo_corpus.scenes import describe_story, draw_gif_scene, draw_story, render_gif, render_story
from demo_corpus.sizes import Sizes, run_jobs
from demo_corpus.world import ACTS, Thing, ask_about, describe_video, draw_thing

#: Every so manieth video has another container than MP4.
GIF_EVERY, AVI_EVERY = 25, 20
NUM_OPTIONS = 5
#: MSRVTT-QA and TGIF FrameQA ask by type; the number is TGIF's code.
FRAME_TYPES = {"object": 0, "number": 1, "color": 2, "location": 3}


def write_json(path: Path, content) -> None:
    """Write one document."""
    path.write_text(json.dumps(content), encoding="utf-8")


def write_table(path: Path, rows: list[list], delimiter: str = ",") -> None:
    """Write a table with CRLF, as spreadsheets do."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def make_scene(job: tuple) -> None:
    """Render a scene and write it, in the format of its path: (render, scene, path, seed)."""
    render, scene, path, seed = job
    write_video(Path(path), *render(scene, seed))


# ---- MSR-VTT


def plan_videos(seed: int, counts: dict[str, int], captions: int) -> list[dict]:
    """Draw the videos of all splits, no two with the same pair of things."""
    rng = np.random.default_rng([seed, 1])
    seen: set[tuple[Thing, Thing]] = set()
    videos = []
    for split, count in counts.items():
        while count:
            first = draw_thing(rng)
            second = draw_thing(rng, first.colour, first.place)
            if (first, second) in seen:
                continue
            seen.add((first, second))
            number = len(videos)
            extension = ".gif" if number % GIF_EVERY == 7 else ".avi" if number % AVI_EVERY == 3 else ".mp4"
            videos.append(
                {
                    "id": number,
                    "video_id": f"video{number}",
                    "split": split,
                    "extension": extension,
                    "things": (first, second),
                    "captions": describe_video(first, second, rng, captions),
                }
            )
            count -= 1
    return videos


def make_video(job: tuple[dict, str, int]) -> None:
    """Render and encode one planned video."""
    video, directory, seed = job
    first, second = video["things"]
    frames, fps = render_frames(first, second, [seed, 2, video["id"]])
    write_video(Path(directory) / (video["video_id"] + video["extension"]), frames, fps)


def write_msrvtt(out: Path, sizes: Sizes, pool) -> None:
    """Write videos, the 2017 JSON, the 9k list, the 1k test, multiple choice and the questions of MSRVTT-QA."""
    (out / "videos").mkdir(parents=True, exist_ok=True)
    counts = {"train": sizes.num_train - sizes.num_val, "val": sizes.num_val, "test": 2 * sizes.num_test}
    videos = plan_videos(sizes.seed, counts, captions=4)
    run_jobs(
        pool, make_video, [(video, str(out / "videos"), sizes.seed) for video in videos], "msrvtt videos"
    )
    sentences = [
        {"caption": caption, "video_id": video["video_id"], "sen_id": 4 * video["id"] + i}
        for video in videos
        for i, caption in enumerate(video["captions"])
    ]
    # The owner's sentences are not in the order of the videos.
    order = np.random.default_rng(len(sentences)).permutation(len(sentences))
    write_json(
        out / "MSRVTT_data.json",
        {
            "info": {"description": "demo corpus in MSR-VTT's format"},
            "videos": [
                {
                    "category": 0,
                    "url": "",
                    "video_id": v["video_id"],
                    "start time": 0.0,
                    "end time": 0.0,
                    "split": v["split"],
                    "id": v["id"],
                }
                for v in videos
            ],
            "sentences": [sentences[i] for i in order],
        },
    )
    test = [video for video in videos if video["split"] == "test"][: sizes.num_test]
    rows = [[f"ret{n}", f"msr{v['id']}", v["video_id"], v["captions"][0]] for n, v in enumerate(test)]
    write_table(out / "MSRVTT_JSFUSION_test.csv", [["key", "vid_key", "video_id", "sentence"], *rows])
    kept = [video["video_id"] for video in videos if video not in test]
    (out / "MSRVTT_train.9k.csv").write_text("\n".join(["video_id", *kept]) + "\n", encoding="utf-8")
    _write_choices(out, test, np.random.default_rng([sizes.seed, 5]))
    _write_questions(out, videos, np.random.default_rng([sizes.seed, 6]))


def _write_choices(out: Path, videos: list[dict], rng: np.random.Generator) -> None:
    rows = [["vid_key", *(f"a{i + 1}" for i in range(NUM_OPTIONS)), "answer"]]
    for video in videos:
        others = [v for v in videos if v is not video]
        wrong = [others[i]["captions"][0] for i in rng.permutation(len(others))[: NUM_OPTIONS - 1]]
        wrong += [video["captions"][1] + " yes"] * (NUM_OPTIONS - 1 - len(wrong))
        answer = int(rng.integers(NUM_OPTIONS))
        rows.append(
            [f"msr{video['id']}", *wrong[:answer], video["captions"][0], *wrong[answer:], str(answer)]
        )
    write_table(out / "MSR_MC_test.csv", rows, "\t")


def _write_questions(out: Path, videos: list[dict], rng: np.random.Generator) -> None:
    entries: dict[str, list[dict]] = {"train": [], "val": [], "test": []}
    number = 0
    for video in videos:
        first, second = video["things"]
        for thing, other in ((first, second), (second, first)):
            for question, answer, _ in ask_about(thing, [other], rng):
                entries[video["split"]].append(
                    {
                        "answer": answer,
                        "category_id": 0,
                        "id": number,
                        "question": question,
                        "video_id": video["id"],
                    }
                )
                number += 1
    for split, content in entries.items():
        write_json(out / f"{split}_qa.json", content)


# ---- TGIF-QA


def write_tgif(out: Path, sizes: Sizes, pool) -> None:
    """Write GIFs and the four tab-separated tables of each split."""
    (out / "gifs").mkdir(parents=True, exist_ok=True)
    jobs, first = [], 0
    for split, count in (("Train", 8 * sizes.num_train), ("Test", 3 * sizes.num_test)):
        rng = np.random.default_rng([sizes.seed, 7, first])
        scenes = {
            f"tumblr_demo{first + n}_250": draw_gif_scene(rng, changes=n % 2 == 1) for n in range(count)
        }
        jobs += [
            (render_gif, scene, str(out / "gifs" / f"{name}.gif"), [sizes.seed, 8, first + n])
            for n, (name, scene) in enumerate(scenes.items())
        ]
        first += count
        for task, (columns, ask) in TGIF_TABLES.items():
            rows = [row for name, scene in scenes.items() for row in ask(name, scene, rng)]
            rows = [[*row, f"{task.upper()}{i}", 10 + i] for i, row in enumerate(rows)]
            write_table(out / f"{split}_{task}_question.csv", [[*columns, "vid_id", "key"], *rows], "\t")
    run_jobs(pool, make_scene, jobs, "tgif gifs")


def _options(right: str, rng: np.random.Generator) -> list:
    names = [list(ACTS)[i] for i in rng.permutation(len(ACTS))]
    return [*names, names.index(right)]


def _ask_action(name, scene, rng) -> list[list]:
    if scene.repeated is None:
        return []
    act, times = scene.repeated
    return [
        [
            name,
            f"what does the {scene.actor.colour} {scene.actor.shape} do {times} times ?",
            *_options(act, rng),
        ]
    ]


def _ask_transition(name, scene, rng) -> list[list]:
    if scene.order is None:
        return []
    first, second = scene.order
    who = f"the {scene.actor.colour} {scene.actor.shape}"
    return [
        [name, f"what does {who} do before {ACTS[second]} ?", *_options(first, rng)],
        [name, f"what does {who} do after {ACTS[first]} ?", *_options(second, rng)],
    ]


def _ask_count(name, scene, rng) -> list[list]:
    if scene.repeated is None:
        return []
    act, times = scene.repeated
    return [[name, f"how many times does the {scene.actor.colour} {scene.actor.shape} {act} ?", times]]


def _ask_frame(name, scene, rng) -> list[list]:
    rows = []
    for thing in (scene.glimpsed, scene.bystander):
        others = [t for t in (scene.actor, scene.bystander, scene.glimpsed) if t is not thing]
        for question, answer, kind in ask_about(thing, others, rng):
            if kind in FRAME_TYPES:
                rows.append([name, question, answer, FRAME_TYPES[kind]])
    return rows


_CHOICE_COLUMNS = ["gif_name", "question", *(f"a{i + 1}" for i in range(NUM_OPTIONS)), "answer"]
TGIF_TABLES = {
    "action": (_CHOICE_COLUMNS, _ask_action),
    "transition": (_CHOICE_COLUMNS, _ask_transition),
    "count": (["gif_name", "question", "answer"], _ask_count),
    "frameqa": (["gif_name", "question", "answer", "type"], _ask_frame),
}


# ---- DiDeMo and ActivityNet Captions


def write_didemo(out: Path, sizes: Sizes, pool) -> None:
    """Write videos with nothing to see after 30 s, and arrays of sentences whose rows are not adjacent."""
    (out / "videos").mkdir(parents=True, exist_ok=True)
    jobs, first = [], 0
    for split, count in (("train", sizes.num_train // 2), ("val", sizes.num_val), ("test", sizes.num_test)):
        rng = np.random.default_rng([sizes.seed, 9, first])
        rows = []
        for number in range(first, first + count):
            story = draw_story(rng, 3, (5.0, 9.0), rest_sec=12.0)
            extension = (".mp4", ".avi")[number % 7 == 2]
            key = f"{number}@N00_demo{number}"
            jobs.append(
                (render_story, story, str(out / "videos" / (key + extension)), [sizes.seed, 10, number])
            )
            for start, sentence in zip(story.starts_sec, describe_story(story), strict=True):
                chunk = int(start // 5)
                rows.append(
                    {
                        "num_segments": 6,
                        "description": sentence,
                        "dl_link": "",
                        "times": [[chunk, chunk + 1]] * 4,
                        "video": key + (extension if number % 5 else "."),
                        "annotation_id": len(rows),
                    }
                )
        # All first sentences, then all second ones: a video's rows are apart and in order.
        write_json(out / f"{split}_data.json", [row for part in range(3) for row in rows[part::3]])
        first += count
    run_jobs(pool, make_scene, jobs, "didemo videos")


def write_activitynet(out: Path, sizes: Sizes, pool) -> None:
    """Write videos in three containers, and paragraphs with timestamps."""
    (out / "videos").mkdir(parents=True, exist_ok=True)
    jobs, first = [], 0
    for split, count in (
        ("train", sizes.num_train // 2),
        ("val_2", sizes.num_val),
        ("val_1", sizes.num_test),
    ):
        rng = np.random.default_rng([sizes.seed, 11, first])
        document = {}
        for number in range(first, first + count):
            story = draw_story(rng, 4, (4.0, 10.0), rest_sec=0.0)
            key, extension = f"v_demo{number:07d}", (".mp4", ".mkv", ".mp4", ".webm")[number % 4]
            jobs.append(
                (render_story, story, str(out / "videos" / (key + extension)), [sizes.seed, 12, number])
            )
            ends = [*story.starts_sec[1:], story.end_sec]
            document[key] = {
                "duration": round(story.duration_sec, 2),
                "timestamps": [
                    [round(start, 2), round(end, 2)]
                    for start, end in zip(story.starts_sec, ends, strict=True)
                ],
                "sentences": [
                    (" " if i else "") + sentence for i, sentence in enumerate(describe_story(story))
                ],
            }
        write_json(out / f"{split}.json", document)
        first += count
    run_jobs(pool, make_scene, jobs, "activitynet videos")
