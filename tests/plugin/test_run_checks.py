"""A run's configuration is checked before anything is built."""

import mmf  # noqa: F401
import pytest

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin import run_checks
from clipbert_mmf.tasks.task import TASKS
from tests.contract.test_every_key import build


@pytest.mark.parametrize("run_type", ["train", "train_val", "train_inference", "val", "train_val_test", None])
def test_run_types_of_mmf_are_taken(run_type):
    run_checks.check_run_type(run_type)


@pytest.mark.parametrize(
    "run_type, message",
    [
        ("tran", r"'tran' is unknown \(did you mean 'train'\?\)"),
        ("train_tets", "'tets'.*'test'"),
        ("training", "train"),
    ],
)
def test_another_run_type_is_refused_with_the_nearest_word(run_type, message):
    with pytest.raises(ConfigurationError, match=message):
        run_checks.check_run_type(run_type)


@pytest.mark.parametrize(
    "option, message",
    [
        ("run_type=tran", "did you mean 'train'"),
        ("model=clipbrt", r"model is 'clipbrt' \(did you mean 'clipbert'"),
        ("dataset=msrvtt_q", r"dataset is 'msrvtt_q' \(did you mean 'msrvtt_qa'"),
        (
            "evaluation.metrics=[clipbert_answrs]",
            r"metrics\[0\] is 'clipbert_answrs' \(did you mean 'clipbert_answers'",
        ),
        (
            "training.early_stop.criteria=msrvtt_qa/clipbert_answers/acc",
            r"criteria is .*gives total_loss, msrvtt_qa/clipbert_answer_ce, msrvtt_qa/clipbert_answers/accuracy",
        ),
        ("distributed.timeout_sec=-1", r"distributed.timeout_sec is -1.0; expected more than 0"),
        (
            "dataset_config.msrvtt_qa.processors.eval_media_processor.params.image_sze=3",
            r"msrvtt_qa.processors.eval_media_processor.params.image_sze is unknown \(did you mean 'image_size'",
        ),
        ("dataset_config.msrvtt_qa.texts_per_item={train: 0, eval: 1}", r"texts_per_item"),
        ("model_config.clipbert.foldd=lse", r"model_config.clipbert.foldd is unknown \(did you mean 'fold'"),
        (
            "model_config.clipbert.head.mean=3",
            "head.mean is 3, and .*'classify' does not read it; it goes with regress",
        ),
        ("optimizer.type=Adamw", r"optimizer.type is 'Adamw' \(did you mean 'Adam"),
        (
            "optimizer.params.weight_decy=1",
            r"optimizer.params.weight_decy is unknown to 'AdamW' \(did you mean 'weight_decay'",
        ),
        ("optimizer.params.lr=fast", "optimizer.params.lr is 'fast'; expected a number"),
        ("optimizer.params.lr=-1", "optimizer.params.lr is -1; expected at least 0, and finite"),
        ("training.batch_size=0", "training.batch_size is 0; expected at least 1"),
        ("training.num_workers=-1", "training.num_workers is -1; expected at least 0"),
        ("training.max_updates=-1", "training.max_updates is -1; expected at least 0"),
        ("training.max_grad_l2_norm=0", "training.max_grad_l2_norm is 0.0; expected more than 0"),
        ("training.early_stop.patience=-1", "training.early_stop.patience is -1; expected at least 0"),
        (
            "dataset_config.msrvtt_qa.batch_size=0",
            "dataset_config.msrvtt_qa.batch_size is 0; expected at least",
        ),
        ("scheduler.type=clipbert_linear", "scheduler.type is 'clipbert_linear'"),
        (
            "scheduler.params.warmup=1",
            "scheduler.params.warmup is unknown to .*; allowed are warmup_fraction, num_updates",
        ),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_built(option, message):
    with pytest.raises(ConfigurationError, match=message):
        build("", [option])


def test_another_optimizer_leaves_out_what_it_does_not_take():
    with pytest.raises(
        ConfigurationError, match=r"betas is unknown to 'SGD'.*optimizer.params.betas=null leaves it"
    ):
        build("", ["optimizer.type=SGD"])
    params = build(
        "", ["optimizer.type=SGD", "optimizer.params={betas: null, momentum: 0.9}"]
    ).optimizer.params
    assert "betas" not in params and params.momentum == 0.9
    with pytest.raises(ConfigurationError, match="optimizer.params.lr is missing"):
        build("", ["optimizer.params.lr=null"])


def test_the_numbers_of_a_validation_are_listed_by_dataset():
    tasks = {"a": TASKS["open_ended"], "b": TASKS["retrieval"]}
    losses = ["shared", {"type": "own", "params": {"datasets": ["a"]}}]
    metrics = [
        {"type": "clipbert_retrieval", "datasets": ["b"]},
        "mine",
        {"type": "clipbert_vqa", "key": "vqa"},
    ]
    numbers = run_checks.list_numbers(losses, metrics, tasks)
    assert {
        "total_loss",
        "a/shared",
        "b/shared",
        "a/own",
        "b/clipbert_retrieval/t2v_r1",
        "a/vqa/accuracy",
    } <= set(numbers)
    assert not {"b/own", "a/clipbert_retrieval/t2v_r1"} & set(numbers)
    assert numbers["a/mine"] is True and numbers["a/vqa/accuracy_color"] is None
    reranked = run_checks.list_numbers(losses, metrics, {"b": TASKS["retrieval"]}, reranks=True)
    assert "total_loss" not in reranked and "b/shared" not in reranked


def test_code_of_a_configuration_file_from_elsewhere_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in ("mine", ".", str(tmp_path / "here" / "deep")):
        run_checks.tell_foreign_code(place)
    assert capsys.readouterr().err == ""
    for place in ("../other", str(tmp_path / "other")):
        run_checks.tell_foreign_code(place)
        error = capsys.readouterr().err
        assert (
            error.count("\n") == 1
            and f"from outside the current directory: env.user_dir={tmp_path / 'other'}" in error
        )
