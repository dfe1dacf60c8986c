#!/usr/bin/env python3
"""Generate the demo corpus: videos and captioned images of coloured shapes, in MSR-VTT's and COCO's own formats.

Deterministic for a seed. The same builders that read the real corpora read this one.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent))

from demo_corpus.media import render_frames, render_still, write_video  # noqa: E402
from demo_corpus.world import Thing, describe_still, describe_video, draw_thing  # noqa: E402

#: Every so manieth video has another container than MP4.
GIF_EVERY, AVI_EVERY = 25, 20
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


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
            videos.append({
                "id": number, "video_id": f"video{number}", "split": split, "extension": extension,
                "things": (first, second), "captions": describe_video(first, second, rng, captions),
            })
            count -= 1
    return videos


def make_video(job: tuple[dict, str, int]) -> None:
    """Render and encode one planned video."""
    video, directory, seed = job
    frames, fps = render_frames(*video["things"], [seed, 2, video["id"]])
    write_video(Path(directory) / (video["video_id"] + video["extension"]), frames, fps)


def write_msrvtt(out: Path, videos: list[dict], num_test: int) -> list[str]:
    """Write the 2017 JSON, the 9k list and the 1k test; return all captions."""
    sentences = [
        {"caption": caption, "video_id": video["video_id"], "sen_id": 4 * video["id"] + i}
        for video in videos for i, caption in enumerate(video["captions"])
    ]
    # The owner's sentences are not in the order of the videos.
    order = np.random.default_rng(len(sentences)).permutation(len(sentences))
    document = {
        "info": {"description": "demo corpus in MSR-VTT's format"},
        "videos": [
            {"category": 0, "url": "", "video_id": v["video_id"], "start time": 0.0, "end time": 0.0,
             "split": v["split"], "id": v["id"]} for v in videos
        ],
        "sentences": [sentences[i] for i in order],
    }
    (out / "MSRVTT_data.json").write_text(json.dumps(document), encoding="utf-8")
    test = [video for video in videos if video["split"] == "test"][:num_test]
    with (out / "MSRVTT_JSFUSION_test.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "vid_key", "video_id", "sentence"])
        for number, video in enumerate(test):
            writer.writerow([f"ret{number}", f"msr{video['id']}", video["video_id"], video["captions"][0]])
    kept = [video["video_id"] for video in videos if video not in test]
    (out / "MSRVTT_train.9k.csv").write_text("\n".join(["video_id", *kept]) + "\n", encoding="utf-8")
    return [sentence["caption"] for sentence in sentences]


def make_stills(job: tuple[str, str, int, int, int]) -> tuple[dict, list[dict]]:
    """Render one still; return its COCO image entry and annotations."""
    directory, year, number, seed, captions = job
    rng = np.random.default_rng([seed, 3, number])
    things = [draw_thing(rng)]
    if rng.random() < 0.4:
        things.append(draw_thing(rng, things[0].colour, things[0].place))
    name = f"COCO_{year}_{number:012d}.jpg"
    width, height = render_still(Path(directory) / name, things, [seed, 4, number])
    image = {"id": number, "file_name": name, "width": width, "height": height}
    return image, [
        {"image_id": number, "id": 10 * number + i, "caption": caption}
        for i, caption in enumerate(describe_still(things, rng, captions))
    ]


def write_coco(out: Path, pool, seed: int, counts: dict[str, int]) -> list[str]:
    """Write stills and ``captions_<year>.json`` per split; return all captions."""
    captions, first = [], 1
    for year, count in counts.items():
        directory = out / "images" / year
        directory.mkdir(parents=True, exist_ok=True)
        jobs = [(str(directory), year, number, seed, 2) for number in range(first, first + count)]
        done = list(tqdm(pool.imap(make_stills, jobs, chunksize=16), total=count, desc=f"images {year}"))
        document = {"images": [image for image, _ in done], "annotations": [a for _, entries in done for a in entries]}
        (out / f"captions_{year}.json").write_text(json.dumps(document), encoding="utf-8")
        captions += [entry["caption"] for entry in document["annotations"]]
        first += count
    return captions


def write_tokenizer(out: Path, captions: list[str]) -> int:
    """Save a BERT tokenizer whose WordPiece vocabulary holds every word and character of the captions; return its size.

    Trainers break ties by hash order; a sorted list is the same in every run.
    """
    from transformers import BertTokenizerFast

    out.mkdir(parents=True, exist_ok=True)
    words = {word for caption in captions for word in caption.split()}
    characters = sorted(set("".join(words)))
    pieces = [*characters, *(f"##{character}" for character in characters), *sorted(words - set(characters))]
    (out / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *pieces]) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab_file=str(out / "vocab.txt"))
    tokenizer.save_pretrained(out)
    return len(tokenizer)


def main() -> None:
    """Parse the arguments and generate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory to write, made if missing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-train", type=int, default=400, help="training videos (a tenth of them in split val)")
    parser.add_argument("--num-test", type=int, default=50, help="videos of the 1k test, and as many more unused by it")
    parser.add_argument("--num-images", type=int, default=2000, help="captioned images; a tenth as many for validation")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    num_val = max(1, arguments.num_train // 10)
    counts = {"train": arguments.num_train - num_val, "val": num_val, "test": 2 * arguments.num_test}
    msrvtt, coco = arguments.out / "msrvtt", arguments.out / "coco"
    (msrvtt / "videos").mkdir(parents=True, exist_ok=True)
    videos = plan_videos(arguments.seed, counts, captions=4)
    with multiprocessing.Pool(arguments.workers) as pool:
        jobs = [(video, str(msrvtt / "videos"), arguments.seed) for video in videos]
        for _ in tqdm(pool.imap_unordered(make_video, jobs, chunksize=4), total=len(jobs), desc="videos"):
            pass
        captions = write_msrvtt(msrvtt, videos, arguments.num_test)
        captions += write_coco(
            coco, pool, arguments.seed,
            {"train2014": arguments.num_images, "val2014": max(1, arguments.num_images // 10)},
        )
    vocabulary = write_tokenizer(arguments.out / "tokenizer", captions)
    summary = {
        "seed": arguments.seed, "videos": counts, "test_pairs": arguments.num_test, "images": arguments.num_images,
        "captions": len(captions), "vocabulary": vocabulary,
    }
    # Written last: its presence says that the corpus is complete.
    (arguments.out / "corpus.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
