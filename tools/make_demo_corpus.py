#!/usr/bin/env python3
"""Generate the demo corpora: videos and images of coloured shapes, in the formats of the corpora's owners.

Deterministic for a seed. The same builders that read the real corpora read these. What is there already is
kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
from pathlib import Path

from clipbert_mmf.cli.compare import write_small_bert
from demo_corpus.image_corpora import write_coco, write_memes, write_visual_genome, write_vqa2
from demo_corpus.sizes import Sizes
from demo_corpus.video_corpora import write_activitynet, write_didemo, write_msrvtt, write_tgif
from demo_corpus.world import list_words

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
#: Corpus (its folder) -> what writes it.
CORPORA = {
    "msrvtt": write_msrvtt,
    "coco": write_coco,
    "tgif_qa": write_tgif,
    "didemo": write_didemo,
    "activitynet": write_activitynet,
    "visual_genome": write_visual_genome,
    "vqa2": write_vqa2,
    "hateful_memes": write_memes,
}


def write_tokenizer(out: Path) -> int:
    """Save a BERT tokenizer whose WordPiece vocabulary holds every word and character; return its size.

    Trainers break ties by hash order; a sorted list is the same in every run.
    """
    from transformers import BertTokenizerFast

    out.mkdir(parents=True, exist_ok=True)
    words = list_words()
    characters = sorted(set("".join(words)))
    pieces = [
        *characters,
        *(f"##{character}" for character in characters),
        *sorted(set(words) - set(characters)),
    ]
    (out / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *pieces]) + "\n", encoding="utf-8")
    # From the folder: transformers 5 passes over a vocab_file argument without a word.
    tokenizer = BertTokenizerFast.from_pretrained(str(out))
    tokenizer.save_pretrained(out)
    return len(tokenizer)


def main() -> None:
    """Parse the arguments and generate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory to write, made if missing")
    parser.add_argument("--corpora", nargs="+", choices=[*CORPORA, "all"], default=["msrvtt", "coco"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--num-train", type=int, default=400, help="training videos (a tenth of them in split val)"
    )
    parser.add_argument(
        "--num-test", type=int, default=50, help="videos of the 1k test, and as many more unused by it"
    )
    parser.add_argument(
        "--num-images", type=int, default=2000, help="captioned images; a tenth as many for validation"
    )
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    sizes = Sizes(arguments.seed, arguments.num_train, arguments.num_test, arguments.num_images)
    about = {
        "seed": sizes.seed,
        "num_train": sizes.num_train,
        "num_test": sizes.num_test,
        "num_images": sizes.num_images,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    marker = arguments.out / "corpus.json"
    done = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}
    if {key: done.get(key) for key in about} != about:
        done = {**about, "corpora": []}
    if "vocabulary" not in done:
        done["vocabulary"] = write_tokenizer(arguments.out / "tokenizer")
    # MMF's own models start from the folder of a BERT.
    write_small_bert(arguments.out / "tokenizer", arguments.out / "bert")
    wanted = list(CORPORA) if "all" in arguments.corpora else arguments.corpora
    missing = [name for name in wanted if name not in done["corpora"]]
    with multiprocessing.Pool(arguments.workers) if missing else contextlib.nullcontext() as pool:
        for name in missing:
            CORPORA[name](arguments.out / name, sizes, pool)
            # Written after each: its presence says that the corpus is complete.
            done["corpora"].append(name)
            marker.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(done))


if __name__ == "__main__":
    main()
