"""The examples run, and so does what ``clipbert new-dataset`` writes and what a user's own table needs."""

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipbert_mmf.annotations import AnnotationError, read_annotations
from clipbert_mmf.cli.main import main
from clipbert_mmf.demo.session import DemoSession
from clipbert_mmf.demo.video_library import VideoLibrary
from clipbert_mmf.inference.predictions import evaluate_predictions
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.models.build import build_network
from clipbert_mmf.modules.heads import HEADS
from clipbert_mmf.scoring.clips import FOLDS
from clipbert_mmf.tasks import TASKS
from clipbert_mmf.video.decode import BACKENDS, read_frames
from tests.e2e.running import ROOT, SMALL, read_metrics, run_mmf
from tests.encoded_media import write_video
from tests.inference.small_run import make_run
from tests.network_settings import small_config
from tests.video.own_decoder import destroy_pictures

NAMES = [f"clip_{number:02}" for number in range(12)]
COLOURS = ("red", "green", "blue")


def import_example(name):
    path = ROOT / "examples" / name / "__init__.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def tables_as_before():
    """Everything an example adds is taken away again: other tests list what is allowed."""
    tables: list[tuple[dict, dict]] = [(table, dict(table)) for table in (HEADS, FOLDS, BACKENDS, TASKS)]
    yield
    sys.modules.pop("own_parts", None)
    for table, content in tables:
        table.clear()
        table.update(content)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "videos").mkdir()
    for number, name in enumerate(NAMES):
        write_video(folder / "videos" / f"{name}.mp4", 12 + number, fps=6)
    with (folder / "steps.jsonl").open("w") as file:
        for number, name in enumerate(NAMES):
            file.write(
                json.dumps(
                    {
                        "clip": name,
                        "step": f"a {COLOURS[number % 3]} circle number {number}",
                        "number": number,
                    }
                )
                + "\n"
            )
    return folder


def small_options(name, data, tokenizer, save_dir):
    section = f"dataset_config.{name}.processors"
    return [
        f"dataset={name}",
        "model=clipbert",
        f"dataset_config.{name}.data_dir={data}",
        f"env.save_dir={save_dir}",
        f"{section}.text_processor.params.tokenizer={tokenizer}",
        *SMALL,
        "training.max_epochs=null",
        f"{section}.train_media_processor.params.image_size=64",
        f"{section}.eval_media_processor.params.image_size=64",
        f"{section}.eval_media_processor.params.num_clips=3",
        "model_config.clipbert.backbone.width=4",
        "model_config.clipbert.transformer.hidden_size=16",
        "model_config.clipbert.transformer.num_layers=1",
        "model_config.clipbert.transformer.num_heads=4",
        "model_config.clipbert.transformer.intermediate_size=32",
        "model_config.clipbert.transformer.vocab_size=400",
        "run_type=train_val_test",
        "training.precision=fp32",
    ]


def test_the_example_dataset_trains_where_it_was_copied(own, tokenizer_dir, tmp_path):
    example = shutil.copytree(ROOT / "examples" / "own_dataset", tmp_path / "elsewhere")
    run_mmf(
        [
            f"config={example}/configs/train.yaml",
            f"env.user_dir={example}",
            *small_options("cooking_steps", own, tokenizer_dir, tmp_path),
        ]
    )
    assert 0 <= read_metrics(tmp_path, "test")["clipbert_retrieval/t2v_r1"] <= 1


def test_the_example_head_and_fold_are_in_the_network():
    module = import_example("own_parts")
    network = build_network(small_config(head={"type": "linear_match"}, fold="mean_of_two_best")).eval()
    assert isinstance(network.head, module.LinearHead)
    tokens = torch.ones(1, 2, 5, dtype=torch.int64)
    output = network(torch.zeros(1, 3, 1, 3, 64, 64, dtype=torch.uint8), tokens, tokens, tokens * 0)
    assert torch.allclose(output["scores"], output["clip_scores"].topk(2, dim=1).values.mean(1))


def test_the_example_head_is_asked_on_the_command_line(own, tokenizer_dir, tmp_path, monkeypatch, capsys):
    module = import_example("own_parts")
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "linear_match"}, fold="mean_of_two_best")
    for name, table in (("linear_match", HEADS), ("mean_of_two_best", FOLDS), ("exact_count", TASKS)):
        del table[name]
    BACKENDS.pop("pillow")
    video, model = str(own / "videos" / f"{NAMES[-1]}.mp4"), ["--model", str(tmp_path / "run")]
    assert main(["score", *model, video, "a red circle"]) == 1
    assert "linear_match" in capsys.readouterr().err
    user_dir = ["--user-dir", str(ROOT / "examples" / "own_parts")]
    assert main(["score", *user_dir, *model, video, "a red circle", "two dogs"]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 2
    monkeypatch.setenv("MMF_USER_DIR", user_dir[1])
    assert main(["answer", *model, "--json", video, "what is it", "--options", "red", "blue"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] in ("red", "blue")
    assert HEADS["linear_match"].make.__qualname__ == module.LinearHead.__qualname__


def test_the_example_head_is_asked_on_the_page_and_in_python(own, tokenizer_dir, tmp_path):
    import_example("own_parts")
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "linear_match"}, fold="mean_of_two_best")
    model = ClipBert.from_pretrained(tmp_path / "run")
    video = own / "videos" / f"{NAMES[-1]}.mp4"
    scored = model.score(video, ["a red circle", "two dogs"])
    assert len(scored.probabilities) == 2 and model.answer(video, "what", ["red", "blue"]).answer in (
        "red",
        "blue",
    )
    assert next(iter(model.search(["red"], [video]).values()))[0].rank == 1
    library = VideoLibrary(own / "videos", model.preprocessing, 0)
    assert list(DemoSession(model, library, tmp_path / "index").modes) == ["score", "search", "choose"]
    library.close()


def test_the_example_task_trains_and_its_predictions_are_judged_by_its_own_number(
    own, tokenizer_dir, tmp_path
):
    write_table(
        own / "exact.csv",
        ["video", "question", "answer"],
        [[name, "how many", n % 3 + 1] for n, name in enumerate(NAMES)],
    )
    run_mmf(
        [
            "config=projects/clipbert/configs/video_text_csv/counts.yaml",
            "dataset_config.video_text_csv.file=exact.csv",
            "dataset_config.video_text_csv.task=exact_count",
            "env.user_dir=examples/own_parts",
            "evaluation.predict=true",
            f"env.report_dir={tmp_path}",
            *small_options("video_text_csv", own, tokenizer_dir, tmp_path),
        ]
    )
    import_example("own_parts")
    (file,) = tmp_path.glob("video_text_csv_run_test_*.json")
    records = json.loads(file.read_text())
    assert {record["task"] for record in records} == {"exact_count"}
    task, found = TASKS["exact_count"], evaluate_predictions(records)
    assert task.main_metric == "clipbert_count/accuracy" and task.main_metric in read_metrics(tmp_path, "val")
    assert found[task.main_metric] == np.mean([record["correct"] for record in records])
    assert 0 < task.guess_from_predictions(records) <= 1


def test_the_example_decoder_reads_gifs_and_leaves_the_rest(tmp_path):
    from PIL import Image

    import_example("own_parts")
    pictures = [Image.new("RGB", (32, 24), (20 * n, 0, 255 - 20 * n)) for n in range(8)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    video, served, times = write_video(tmp_path / "b.mp4", 8, fps=10), [], np.array([0.0, 0.35, 0.7])
    for path in (tmp_path / "a.gif", video):
        ours = read_frames(path, times, backend="pillow", on_served=served.append)
        assert torch.equal(ours, read_frames(path, times)), path
    assert served == ["pillow", "pyav"]


@pytest.fixture
def drawing(own, tmp_path):
    """Return a folder of videos that only a decoder of a user's package reads, and that package."""
    data, package = tmp_path / "data", tmp_path / "drawing_package"
    (data / "videos").mkdir(parents=True)
    for video in sorted((own / "videos").glob("*.mp4")):
        (data / "videos" / video.name).write_bytes(destroy_pictures(video.read_bytes()))
    write_table(
        data / "annotations.csv",
        ["video", "text"],
        [[name, f"a {COLOURS[n % 3]} circle"] for n, name in enumerate(NAMES)],
    )
    package.mkdir()
    (package / "__init__.py").write_text(
        "from clipbert_mmf.extending import register_backend\n"
        "from tests.video.own_decoder import read_by_drawing\n"
        "register_backend('drawing', read_by_drawing)\n"
    )
    return data, package


def test_a_decoder_of_ones_own_serves_a_run_what_only_it_reads(drawing, tokenizer_dir, tmp_path):
    data, package = drawing
    processors = "dataset_config.video_text_csv.processors"
    run_mmf(
        [
            "config=projects/clipbert/configs/video_text_csv/retrieval.yaml",
            f"env.user_dir={package}",
            f"{processors}.train_media_processor.params.backend=drawing",
            f"{processors}.eval_media_processor.params.backend=drawing",
            *small_options("video_text_csv", data, tokenizer_dir, tmp_path / "run"),
        ]
    )
    assert read_metrics(tmp_path / "run", "test")["clipbert_retrieval/num_unreadable"] == 0


def test_a_decoder_of_ones_own_serves_the_verbs_what_only_it_reads(drawing, tokenizer_dir, tmp_path, capsys):
    data, package = drawing
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "match"})
    model, user = ["--model", str(tmp_path / "run")], ["--user-dir", str(package)]
    video = str(data / "videos" / f"{NAMES[0]}.mp4")
    assert main(["score", *model, video, "red"]) == 1 and NAMES[0] in capsys.readouterr().err
    own_decoder = [*user, "--backend", "drawing"]
    assert main(["score", *model, *own_decoder, video, "red"]) == 0
    assert main(["search", *model, *own_decoder, str(data / "videos"), "red", "--no-index"]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) >= 10
    assert main(["score", *model, "--backend", "drawn", video, "red"]) == 1
    assert "backend is 'drawn'" in capsys.readouterr().err


def test_a_name_that_is_taken_is_refused():
    from clipbert_mmf.extending import (
        DatasetSpec,
        HeadKind,
        register_backend,
        register_dataset,
        register_fold,
        register_head,
        register_task,
    )

    with pytest.raises(ValueError, match="a head 'match' is registered already"):
        register_head("match", HeadKind(7))
    with pytest.raises(
        ValueError, match=r"head 'guess' asks \['guess'\]; allowed are score, answer, choose, count"
    ):
        register_head("guess", HeadKind(7, asks=("guess",)))  # pyright: ignore[reportArgumentType]  # the error is tested
    with pytest.raises(ValueError, match="a task 'count' is registered already"):
        register_task(replace(TASKS["count"], smaller_is_better=False))
    with pytest.raises(ValueError, match="a fold 'lse' is registered already"):
        register_fold("lse", torch.sum)
    with pytest.raises(ValueError, match="a backend 'decord' is registered already"):
        register_backend("decord", print)
    with pytest.raises(ValueError, match="a dataset 'msrvtt_qa' is registered already"):
        register_dataset(DatasetSpec("msrvtt_qa", corpus="didemo", task="retrieval", media="video"))
    with pytest.raises(ValueError, match="task is 'guess'; allowed are"):
        register_dataset(DatasetSpec("guesses", corpus="didemo", task="guess", media="video"))


def test_a_new_dataset_passes_its_own_test_and_trains(own, tokenizer_dir, tmp_path):
    assert main(["new-dataset", "my_clips", "--out", str(tmp_path)]) == 0
    done = subprocess.run(
        [sys.executable, "my_clips/test_my_clips.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    for old, new in zip(NAMES, ("first", "second", "third", "fourth"), strict=False):
        (tmp_path / "my_clips" / "videos" / f"{new}.mp4").write_bytes(
            (own / "videos" / f"{old}.mp4").read_bytes()
        )
    run_mmf(
        [
            f"config={tmp_path / 'my_clips/configs/train.yaml'}",
            f"env.user_dir={tmp_path / 'my_clips'}",
            *small_options("my_clips", "${env.user_dir}", tokenizer_dir, tmp_path / "save"),
        ]
    )
    assert read_metrics(tmp_path / "save", "test")["clipbert_retrieval/t2v_r1"] == 1.0  # one video, one text
    assert main(["new-dataset", "my_clips", "--out", str(tmp_path)]) == 1
    assert main(["new-dataset", "My-Clips", "--out", str(tmp_path)]) == 1


def write_table(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.mark.parametrize(
    "recipe, header, row, extra",
    [
        (
            "retrieval",
            ["file_name", "caption"],
            lambda n, name: [name, f"a {COLOURS[n % 3]} circle"],
            [
                "dataset_config.video_text_csv.columns.video=file_name",
                "dataset_config.video_text_csv.columns.text=caption",
            ],
        ),
        (
            "questions",
            ["video", "question", "answer", "split"],
            lambda n, name: [
                f"deep/{name}.mp4",
                "what color is it",
                COLOURS[n % 3],
                ("train", "train", "val", "test")[n % 4],
            ],
            [],
        ),
        (
            "choices",
            ["video", "question", "options", "answer"],
            lambda n, name: [
                name,
                "what is it",
                "red | green | blue" if n % 2 else f"pink | {COLOURS[n % 3]}",
                COLOURS[n % 3],
            ],
            [],
        ),
        ("counts", ["video", "question", "answer"], lambda n, name: [name, "how many", n % 5 + 1], []),
    ],
)
def test_a_table_of_ones_own_trains_without_code(own, tokenizer_dir, tmp_path, recipe, header, row, extra):
    write_table(own / f"{recipe}.csv", header, [row(n, name) for n, name in enumerate(NAMES)])
    run_mmf(
        [
            f"config=projects/clipbert/configs/video_text_csv/{recipe}.yaml",
            f"dataset_config.video_text_csv.file={recipe}.csv",
            *small_options("video_text_csv", own, tokenizer_dir, tmp_path),
            *extra,
        ]
    )
    assert read_metrics(tmp_path, "test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_run_needs_the_rows_of_the_splits_that_it_uses(own, tokenizer_dir, tmp_path, split):
    rows = [[name, f"a {COLOURS[n % 3]} circle", split] for n, name in enumerate(NAMES)]
    write_table(own / "one.csv", ["video", "text", "split"], rows)
    options = small_options("video_text_csv", own, tokenizer_dir, tmp_path)
    run_mmf(
        [
            "config=projects/clipbert/configs/video_text_csv/retrieval.yaml",
            "dataset_config.video_text_csv.file=one.csv",
            *(option for option in options if not option.startswith("run_type")),
            f"run_type={split}",
            # What is tested here are the rows.
            "model_config.clipbert.weights.allow_random=true",
        ]
    )
    if split == "test":
        assert read_metrics(tmp_path, "test")
    else:
        assert (tmp_path / "clipbert_final.pth").is_file()


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "video,txt\na,b\n",
            r"line 1: found \['txt', 'video'\]; expected video_text: a table .* with columns video, question",
        ),
        ("video,text\n,b\n", "line 2, 'video': found ''; expected a file's name"),
        ("video,text\na,\n", "line 2, 'text': found ''; expected words"),
        ("video,text,split\na,b,train\n", r"column 'split': found \['train'\]; expected a row of \['test'\]"),
        ("video,text,id\na,b,1\nc,d,1\n", "line 3: found '1'; expected each id once"),
        ("video,text,start_sec,end_sec\na,b,4,2\n", "line 2, 'start_sec' and 'end_sec'"),
        ("video,question,options,answer\na,b,x,x\n", "line 2, 'options': found 'x'; expected at least two"),
        (
            "video,question,options,answer\na,b,x|y,z\n",
            r"line 2, 'answer': found 'z'; expected one of \['x', 'y'\]",
        ),
        ("video,question,answer\na,b\n", "line 2: found .* expected 3 columns"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    splits = ["test"] if "split" in text else None
    with pytest.raises(AnnotationError, match=message):
        list(read_annotations(path, "video_text", splits=splits))
    with pytest.raises(AnnotationError, match="expected .*'nothing'.*, as configured"):
        list(read_annotations(path, "video_text", columns={"video": "nothing"}))


def test_names_of_videos_keep_their_dots():
    from clipbert_mmf.annotations.own import parse_texts
    from clipbert_mmf.annotations.records import Source
    from clipbert_mmf.video.stores.names import make_key

    names = ["a.b.mp4", "a.b", "deep/c.MP4", "d e", "win\\f.avi"]
    entries = [(f"line {n}", {"video": name, "text": "x"}) for n, name in enumerate(names)]
    keys = [record.media_key for record in parse_texts(Source(Path("t.csv")), iter(entries))]
    assert keys == names
    assert [make_key(key) for key in keys] == ["a.b", "a.b", "deep/c", "d e", "win/f"]
