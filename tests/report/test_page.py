"""The page of a run: built from a real run's files, opened in a real browser at two widths."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clipbert_mmf.report.page import make_report, write_report
from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.scoring.outcomes import Outcomes, write_outcomes
from tests.browsing import set_width
from tests.encoded_media import write_video
from tests.inference.small_run import make_run, run_config

pytest.importorskip("captum", reason="captum is not installed: pip install captum")
ROOT = Path(__file__).resolve().parents[2]
EVIL = "<script>alert('x')</script> & \"quotes\""


@pytest.fixture(scope="module")
def run(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("report")
    data = folder / "data" / "videos"
    data.mkdir(parents=True)
    for number in range(3):
        write_video(data / f"v{number}.mp4", 24 + 6 * number, fps=8)
    config = run_config(tokenizer_dir)
    section = config["dataset_config"]["msrvtt_retrieval"]
    section["data_dir"], section["media"] = str(folder / "data"), {"test": "videos"}
    make_run(folder / "run", tokenizer_dir, config)
    (folder / "run" / "unreadable_msrvtt_retrieval.jsonl").write_text(
        json.dumps({"key": "v9", "reason": EVIL}) + "\n"
    )
    (folder / "run" / "predictions").mkdir()
    scores = [[3.0, 1.0, 2.0], [1.0, 0.5, 0.0], [0.0, 2.0, 1.0]]
    texts = [EVIL, "a red circle", "two dogs"]
    records = [
        {
            "dataset": "msrvtt_retrieval",
            "task": "retrieval",
            "item": n,
            "num_items": 3,
            "item_record": 0,
            "num_item_records": 1,
            "media_id": f"v{n}",
            "readable": True,
            "correct_text_ids": [f"t{n}"],
            "scores": {f"t{k}": scores[n][k] for k in range(3)},
            "texts": [
                {"text_id": f"t{k}", "text": texts[k], "probability": 0.5, "rank": k + 1, "correct": k == n}
                for k in range(3)
            ],
            "clips": [{"start_sec": 0.0, "end_sec": 1.0, "scores": [0.0, 0.0, 0.0]}],
        }
        for n in range(3)
    ]
    (folder / "run" / "predictions" / "msrvtt_retrieval_run_test_x.json").write_text(json.dumps(records))
    return folder / "run"


def test_the_page_holds_results_examples_and_health_and_escapes_what_it_shows(run):
    page = make_report(run, saliency="grad_cam")
    assert '<p class="soft name">v0</p>' in page and "text to video, recall at 1" in page
    assert (
        "By answer" not in page and "12.5 %" in page
    )  # sections without content are absent; shares in per cent
    assert "better than chance by" in page and "<svg" in page and page.count("data:image/jpeg") > 10
    assert "found at rank" in page and "found first" in page and "v9" in page
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "http" not in page.replace(
        "http://www.w3.org", ""
    )  # the names of SVG's namespaces are no addresses


def test_missing_parts_are_said_in_a_sentence(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    page = make_report(tmp_path / "run", baselines=[tmp_path / "run"])
    assert "There are no predictions" in page and f"clipbert predict {tmp_path / 'run'}" in page
    assert "Best and worst" not in page and "By answer" not in page
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="neither config.yaml nor metrics.jsonl"):
        read_run_record(tmp_path / "empty")


def test_metrics_stand_beside_their_interval_and_an_earlier_run(tmp_path, tokenizer_dir):
    folders, media = (tmp_path / "run", tmp_path / "earlier"), np.arange(40)
    for folder, count in zip(folders, (30, 10), strict=True):
        make_run(folder, tokenizer_dir)
        name = "test/msrvtt_retrieval/clipbert_retrieval/t2v_r1"
        rows = Outcomes((media < count).astype(float), media, is_share=True)
        result = {
            "dataset": "msrvtt_retrieval",
            "metric": name[22:],
            "interval": [0.61, 0.89],
            "is_share": True,
        }
        line = {"split": "test", "metrics": {name: rows.value}, "final": True, "results": [result]}
        with (folder / "metrics.jsonl").open("a") as file:
            file.write("\n" + json.dumps(line) + "\n")  # the last line of the file was cut off
        write_outcomes(folder / "outcomes_test_msrvtt_retrieval.npz", {name: rows})
    page = make_report(folders[0], baselines=[folders[1]], num_examples=0)
    assert "61.0 to 89.0" in page and "+50.0 (" in page and "), significant" in page


def test_moved_media_are_named(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    page = make_report(copy, data_dir=tmp_path / "nowhere")
    assert "could not be opened" in page and "Give --data-dir" in page


def test_curves_of_shares_are_in_words_and_per_cent(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    told = {"dataset": "msrvtt_retrieval", "metric": "clipbert_retrieval/t2v_r1", "is_share": True}
    results = [{**told, "title": "text to video, recall at 1"}]
    line = {
        "split": "test",
        "metrics": {"test/msrvtt_retrieval/clipbert_retrieval/t2v_r1": 0.5},
        "results": results,
    }
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write("\n" + json.dumps(line) + "\n")
    page = make_report(tmp_path / "run")
    assert "Validation: text to video, recall at 1 ends at 25 %" in page and ">per cent<" in page


def test_a_dataset_that_the_run_has_not_is_refused_with_the_nearest_name(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    with pytest.raises(ValueError, match="has no dataset 'msrvtt_retrieva' .did you mean 'msrvtt_retrieval'"):
        make_report(tmp_path / "run", dataset="msrvtt_retrieva")


def test_the_command_writes_the_page(run, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "clipbert_mmf.cli.main",
            "report",
            str(run),
            "--out",
            str(tmp_path / "r.html"),
            "--examples",
            "1",
            "--saliency",
            "grad_cam",
        ],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0 and (tmp_path / "r.html").stat().st_size > 10_000, done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "clipbert_mmf.cli.main", "report", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1 and "no such folder" in done.stderr


@pytest.mark.parametrize("width", [360, 1440])
def test_a_browser_shows_it_without_errors_or_overflow(run, browser, tmp_path, width):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    page = write_report(run, tmp_path / "report.html", saliency="grad_cam")
    set_width(browser, width)
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    assert browser.execute_script(
        "return [...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)"
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text.startswith("Skip to the results")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Results"
