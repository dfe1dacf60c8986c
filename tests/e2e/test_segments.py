"""Tables whose rows are about parts of videos, and some about whole ones, through ``mmf_run``'s predictions."""

import json

import pytest

from tests.e2e.running import ROOT, SMALL, run_plan
from tests.encoded_media import write_video
from tests.own_tables import write_table

RECIPES = {"retrieval": "texts", "questions": "questions", "choices": "choices"}
#: Start and end as written -> as predictions have them; videos are 4 s long.
WINDOWS = {
    ("0", "1.5"): [0.0, 1.5],
    ("00:00:02", "3"): [2.0, 3.0],
    ("3", ""): [3.0, None],
    ("", ""): None,
    ("3.5", "9"): [3.5, 9.0],
    ("50", "60"): [50.0, 60.0],
}
COLOURS = ("red", "green", "blue", "yellow", "black", "white")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tokenizer_dir):
    """Test each recipe on two videos of the same name in two folders, whose every part has a row."""
    folder = tmp_path_factory.mktemp("segments")
    rows = []
    for number, name in enumerate(("one/clip.mp4", "two/clip.mp4")):
        (folder / "videos" / name).parent.mkdir(parents=True)
        write_video(folder / "videos" / name, 24, fps=6)
        for n, window in enumerate(WINDOWS):
            text = f"a {COLOURS[n]} circle {('left', 'right')[number]}"
            rows += [
                (
                    name,
                    text,
                    "what color",
                    COLOURS[n],
                    "red|blue" if n % 2 else "|".join(COLOURS),
                    0,
                    *window,
                    "test",
                )
            ]
    header = ["video", "text", "question", "answer", "options", "answer", "start_time", "end_time", "split"]
    for table, columns in (
        ("texts", (0, 1, 6, 7, 8)),
        ("questions", (0, 2, 3, 6, 7, 8)),
        ("choices", (0, 2, 4, 5, 6, 7, 8)),
    ):
        write_table(
            folder / f"{table}.csv",
            " ".join(header[column] for column in columns),
            [[row[column] for column in columns] for row in rows],
        )
    answers = {colour: index for index, colour in enumerate(COLOURS)}
    (folder / "answers.json").write_text(json.dumps(answers))
    plan, section = {}, "dataset_config.video_text_csv"
    for recipe, table in RECIPES.items():
        config = folder / f"{recipe}.yaml"
        includes = (
            ROOT / "configs/models/clipbert/tiny.yaml",
            ROOT / f"projects/clipbert/configs/video_text_csv/{recipe}.yaml",
        )
        config.write_text("includes:\n" + "".join(f"- {path}\n" for path in includes))
        plan[recipe] = [
            f"config={config}",
            "model=clipbert",
            "dataset=video_text_csv",
            f"{section}.data_dir={folder}",
            f"{section}.file={table}.csv",
            f"{section}.answers.file=answers.json",
            f"{section}.processors.text_processor.params.tokenizer={tokenizer_dir}",
            f"{section}.processors.eval_media_processor.params.image_size=64",
            f"{section}.processors.eval_media_processor.params.num_clips=3",
            "run_type=test",
            "evaluation.predict=true",
            "model_config.clipbert.weights.allow_random=true",
            "training.precision=fp32",
            f"env.save_dir={folder / recipe}",
            f"env.report_dir={folder / recipe}",
            *SMALL,
        ]
    return folder, run_plan("tasks_program.py", plan, folder)


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_row_is_predicted_from_its_own_part(runs, recipe):
    folder, codes = runs
    log = (folder / f"plan.json.{recipe}.log").read_text()
    assert codes[recipe] == 0, log[-3000:]
    (file,) = (folder / recipe).glob("video_text_csv_run_test_*.json")
    records = json.loads(file.read_text())
    assert len(records) == 2 * len(WINDOWS)
    assert {record["media_id"] for record in records} == {"one/clip", "two/clip"}
    for number, record in enumerate(records):
        media_id, window = (
            ("one/clip", "two/clip")[number // len(WINDOWS)],
            list(WINDOWS.values())[number % len(WINDOWS)],
        )
        assert (record["media_id"], record["segment_sec"]) == (media_id, window)
        assert record["readable"] == (window != [50.0, 60.0])
        start, end = window or (0.0, None)
        for clip in record["clips"]:
            assert start <= clip["start_sec"] < clip["end_sec"] <= min(end or 4.0, 4.0) + 1e-6
        assert len(record["clips"]) == (3 if record["readable"] else 0)
        if recipe == "retrieval":
            assert record["correct_text_ids"] == [str(number)]
        if recipe == "choices":
            assert len(record["options"]) == (2 if number % 2 else len(COLOURS))
            assert len(record["answers"]) == (len(record["options"]) if record["readable"] else 0)
    # The part that does not exist is named with its row.
    assert log.count("from 50 to 60 s (text ") >= 2 and "start_sec=start_time" in log
