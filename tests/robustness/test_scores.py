"""A model that gives NaN, and predictions that are damaged, end with one line that names the first item."""

import json
import math

import pytest
import torch

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.embedding import embed
from clipbert_mmf.inference.predictions import evaluate_predictions, read_predictions
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.scoring.metrics import METRICS
from clipbert_mmf.scoring.validity import ScoresError
from clipbert_mmf.tasks.record_fields import PredictionsError
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

#: Head -> answers of its vocabulary.
HEADS = {"match": 0, "classify": 3, "choose": 0, "regress": 0}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / name, 20, fps=10)
    return folder


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, tokenizer_dir):
    """Return the folder of a run whose classifier holds a NaN, by its head."""

    def make(head: str):
        folder = tmp_path_factory.mktemp(head) / "run"
        settings = {"head": {"type": head, "num_answers": HEADS[head] or None}}
        if head == "match":
            settings["contrastive"] = {"weight": 0.1}
        make_run(folder, tokenizer_dir, **settings)
        if HEADS[head]:
            (folder / "answers_msrvtt_retrieval.json").write_text(json.dumps({"a": 0, "b": 1, "c": 2}))
        for file in (folder / "best.ckpt", folder / "clipbert_final.pth"):
            content = torch.load(file, weights_only=True)
            state = content.get("model", content)
            for name in [name for name in state if "norm" not in name and name.endswith("bias")]:
                state[name].fill_(torch.nan)
            torch.save(content, file)
        return folder

    return make


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_measures_scores_that_are_not_finite(name):
    columns = 1 if name == "clipbert_count" else 2
    scores = torch.zeros(6, columns)
    scores[3] = torch.nan
    fields = {
        "scores": scores,
        "targets": torch.ones(3, 2, 2) if name == "clipbert_vqa" else torch.eye(3, 2, dtype=torch.int64),
        "item_index": torch.tensor([7, 8, 9]),
        "readable": torch.ones(3),
    }
    if name == "clipbert_retrieval":
        fields["targets"] = torch.eye(2, dtype=torch.int64)[torch.tensor([0, 1, 1])]
    if name == "clipbert_pretraining":
        fields["mlm_right"] = fields["mlm_total"] = torch.zeros(6, dtype=torch.int64)
    with pytest.raises(ScoresError, match="the model gives nan for item 8 of the split"):
        METRICS[name].measure(**fields)
    # An unreadable item counts as wrong whatever the model says about it.
    fields["readable"] = torch.tensor([1, 0, 1])
    assert METRICS[name].measure(**fields)["num_unreadable"] == 1
    with pytest.raises(ScoresError, match="gives 5 rows of scores; expected 6"):
        METRICS[name].measure(**{**fields, "scores": scores[:5]})


@pytest.mark.parametrize(
    "head, words",
    [
        ("match", ["score", "VIDEO", "a red circle"]),
        ("match", ["search", "FOLDER", "a red circle", "--no-index"]),
        ("match", ["embed", "FOLDER", "--texts", "blue", "--out", "OUT.npz"]),
        ("classify", ["answer", "VIDEO", "what is it"]),
        ("choose", ["answer", "VIDEO", "which", "--options", "blue", "red"]),
        ("regress", ["answer", "VIDEO", "how many"]),
    ],
)
def test_no_verb_prints_what_is_not_finite(damaged, videos, tmp_path, capsys, head, words):
    names = {"VIDEO": videos / "a.mp4", "FOLDER": videos, "OUT.npz": tmp_path / "out.npz"}
    verb, *rest = (str(names.get(word, word)) for word in words)
    assert main([verb, "--model", str(damaged(head)), *rest]) == 1
    out, error = capsys.readouterr()
    # Texts are embedded before any video is read.
    named = "'blue'" if verb == "embed" else "a.mp4"
    assert out == "" and "the model gives nan for" in error and named in error
    assert error.count(f"clipbert {verb}: ") == 1 and "Traceback" not in error
    assert not (tmp_path / "out.npz").exists()


def test_no_answer_of_the_python_interface_is_nan(damaged, videos):
    model = ClipBert.from_pretrained(damaged("match"))
    frames = model.preprocessing.read(videos / "a.mp4")
    for ask in (
        lambda: model.score(videos / "a.mp4", ["blue"]),
        lambda: model.score_frames(frames[None], ["blue"]),
        lambda: embed(model, [], ["blue"]),
    ):
        with pytest.raises(ScoresError, match="the model gives nan"):
            ask()
    next(model.network.grid_encoder.parameters()).data.fill_(torch.nan)
    with pytest.raises(ScoresError, match=r"the model gives nan for .*a\.mp4"):
        model.encode(videos / "a.mp4")


def retrieval_records(num_media=4):
    return [
        {
            **{"dataset": "d", "task": "retrieval", "media_id": f"v{n}", "readable": True},
            **{"item": n, "num_items": num_media, "item_record": 0, "num_item_records": 1},
            **{"correct_text_ids": [f"t{n}"], "texts": [], "clips": []},
            "scores": {f"t{k}": float(k == n) for k in range(num_media)},
        }
        for n in range(num_media)
    ]


def question_records(num_questions=4):
    return [
        {
            **{"dataset": "d", "task": "open_ended", "media_id": f"v{n // 2}", "readable": True},
            **{"item": n // 2, "num_items": num_questions // 2, "item_record": n % 2, "num_item_records": 2},
            **{"text_id": str(n), "text": "what", "target": "a", "correct": 1.0, "clips": []},
            "answers": [{"answer": "a", "probability": 0.5}],
        }
        for n in range(num_questions)
    ]


def change(records, number, **values):
    records[number].update(values)
    return records


def drop(records, number, key):
    del records[number][key]
    return records


RECORDS = [retrieval_records, question_records]
DAMAGES = {
    "half of the records": (lambda r: r[: len(r) // 2], "has no scores, nor have"),
    "every other record": (lambda r: r[::2], "(has no scores|has 1 records; expected 2)"),
    "every record twice": (lambda r: r + r, r"line 1, record 4: the same as .*record 0 \(record 0 of item 0"),
    "of two splits": (lambda r: change(r, 1, num_items=9), "num_items is 9, and [24] in the first record"),
    "a missing key": (lambda r: drop(r, 2, "readable"), "line 1, record 2: the record lacks 'readable'"),
    "a number for a name": (lambda r: change(r, 1, media_id=3), "record 1: media_id is 3; expected a string"),
    "a name for an item": (lambda r: change(r, 1, item="1"), "item is '1'; expected a whole number"),
    "a string for a truth": (lambda r: change(r, 1, readable="no"), "readable is 'no'; expected true or"),
    "no object": (lambda r: [*r[:2], [1]], r"record 2: the record is \[1\]; expected an object"),
    "clips of NaN": (
        lambda r: change(r, 1, clips=[{"start_sec": 0, "end_sec": 1, "scores": [1e999]}]),
        "line 1, record 1, is not JSON .found Infinity; expected finite numbers",
    ),
    "another task": (lambda r: change(r, 1, task="guess"), "record 1: task is 'guess'"),
}


@pytest.mark.parametrize("make", RECORDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_predictions_are_not_judged(tmp_path, capsys, make, damage):
    path = tmp_path / "d_run_test_1.json"
    path.write_text(json.dumps(make()))
    assert evaluate_predictions(read_predictions(path))
    edit, message = DAMAGES[damage]
    path.write_text(json.dumps(edit(make())))
    with pytest.raises(PredictionsError, match=message) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)
    assert main(["evaluate", str(path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "scores, message",
    [
        ({"t0": 1.0, "t1": 0.0}, "record 1 .'v1'. has 2 scores; expected one of each of the 4 texts"),
        ({f"t{k}": 1.0 for k in range(5)}, "has 5 scores; expected one of each of the 4 texts"),
        ({f"t{k}": "1" for k in range(4)}, r"scores\['t0'\] is '1'; expected a finite number"),
        ({f"t{k}": math.nan for k in range(4)}, r"scores\['t0'\] is nan; expected a finite number"),
    ],
)
def test_scores_of_retrieval_are_whole_and_finite(scores, message):
    with pytest.raises(PredictionsError, match=message):
        evaluate_predictions(change(retrieval_records(), 1, scores=scores))


@pytest.mark.parametrize("make", RECORDS)
def test_a_file_that_was_cut_is_named_with_the_record_and_no_report_leaves_it_out(tmp_path, make):
    (tmp_path / "config.yaml").write_text("datasets: d")
    path = tmp_path / "d_run_test_1.json"
    text = json.dumps(make(), indent=1)
    for end in (0, len(text) // 3, len(text) // 2, len(text) - 2):
        path.write_text(text[:end])
        with pytest.raises(PredictionsError, match="is not JSON") as caught:
            read_predictions(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        if end:
            from clipbert_mmf.report.run_record import read_run_record

            with pytest.raises(PredictionsError, match="is not JSON"):
                read_run_record(tmp_path)


def test_a_list_without_end_is_no_recursion_error(tmp_path):
    path = tmp_path / "d_run_test_1.json"
    path.write_text('[{"task": "a", "media_id": ' + "[" * 100_000)
    with pytest.raises(PredictionsError, match="line 1, record 0, is not JSON .nested too deep"):
        read_predictions(path)
