"""A model goes to a hub with its card, through the real huggingface_hub, and comes back from there by its name."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from clipbert_mmf.inference.hub import upload_model
from tests.encoded_media import write_video
from tests.hub_server import TOKEN, serve_hub
from tests.inference.small_run import make_run

#: Verbs in one process; the library reads the hub's address when it is imported.
PROGRAM = """
import contextlib, io, json, os, sys
from clipbert_mmf.cli.main import main
results = []
for token, words in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    results.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""


def test_there_and_back(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    video = str(write_video(tmp_path / "a.mp4", 20))
    push = ["push", "--model", str(tmp_path / "run"), "--repo"]
    score = ["score", "--json", "--model"]
    with serve_hub() as hub:
        plan = [
            ("wrong", [*push, "me/model"]),
            (TOKEN, [*push, "me/model", "--license", "bsd-3-clause", "--private"]),
            ("", [*score, "me/model", video, "a red circle"]),
            ("", [*score, str(tmp_path / "run"), video, "a red circle"]),
        ]
        offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        environment = {key: value for key, value in os.environ.items() if key not in offline}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(plan)],
            env={**environment, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=200,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    refused, pushed, from_hub, from_run = json.loads(done.stdout.splitlines()[-1])
    assert refused[0] == 1
    assert f"'me/model' cannot be written on {hub.address}: 401" in refused[2] and "HF_TOKEN" in refused[2]
    assert pushed[0] == 0, pushed[2]
    assert f"wrote me/model: {hub.address}/me/model/commit/" in pushed[1]
    assert hub.made[-1]["private"] is True and hub.titles == ["Upload a model of clipbert_mmf"]
    assert from_hub[0] == from_run[0] == 0, from_hub[2]
    assert json.loads(from_hub[1]) == json.loads(from_run[1])
    files = hub.files["me/model"]
    card = files["README.md"].decode()
    assert 'from_pretrained("me/model")' in card and "| clipbert_retrieval/t2v_r1 | 0.25 |" in card
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["license"] == "bsd-3-clause" and metadata["library_name"] == "clipbert_mmf"
    assert {"config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"} <= set(files)
    assert "/secret" not in card


def test_a_name_that_cannot_be_is_refused_before_anything_is_written():
    with pytest.raises(ValueError, match="'a/b/c' is no name of a repository"):
        upload_model(lambda folder: pytest.fail("saved"), "", "a/b/c")
