"""Every registered task is whole.

Its heads answer its question, its chance follows from records, its registry is honest.
"""

from dataclasses import replace

import pytest

from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.modules.heads import HEADS
from clipbert_mmf.tasks import TASKS, register_task
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.task import Task


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_heads_of_a_task_can_be_asked_its_question(name):
    task = TASKS[name]
    assert task.name == name and task.heads
    for head in task.heads:
        assert task.asks in HEADS[head].asks and HEADS[head].groups_options == task.options_form_row
        assert (HEADS[head].num_outputs is None) == task.needs_answers


def test_every_dataset_names_a_task():
    assert {spec.task for spec in SPECS.values()} == {"", *TASKS}


@pytest.mark.parametrize(
    "task, predictions, chance",
    [
        ("open_ended", [{"target": "a"}, {"target": "a"}, {"target": "b"}, {"target": "c"}], 0.5),
        ("multiple_choice", [{"options": ["a", "b"]}, {"options": ["a", "b", "c", "d"]}], 0.375),
        ("vqa", [{"target": {"a": 1.0, "b": 0.3}}, {"target": {"b": 0.9}}], 0.6),
        ("count", [{"target": 1}, {"target": 3}], 1.0),
        ("retrieval", [{"media_id": name} for name in "abcd"], 0.25),
        ("pretraining", [{"target": 1}, {"target": 0}], 0.5),
    ],
)
def test_chance_needs_no_video(task, predictions, chance):
    assert TASKS[task].guess_from_predictions(predictions) == pytest.approx(chance)


@pytest.mark.parametrize(
    "task, annotations, chance",
    [
        ("open_ended", [TextRecord("v", "q", "0", answer=answer) for answer in "aabc"], 0.5),
        (
            "multiple_choice",
            [TextRecord("v", "q", "0", options=tuple(names)) for names in ("ab", "abcd")],
            0.375,
        ),
        (
            "vqa",
            [TextRecord("v", "q", "0", soft_answers=(("a", 1.0), ("b", 0.3))), TextRecord("v", "q", "1")],
            0.5,
        ),
        ("count", [TextRecord("v", "q", "0", answer=answer) for answer in (1, 3)], 1.0),
        ("retrieval", [TextRecord(name, "t", "0") for name in "aabb"], 0.5),
    ],
)
def test_chance_is_the_same_from_annotations(task, annotations, chance):
    assert TASKS[task].guess_from_annotations(annotations) == pytest.approx(chance)


def test_what_items_draw_has_no_chance_in_the_annotations():
    with pytest.raises(
        ValueError, match="the chance level of 'pretraining' does not follow from annotations"
    ):
        TASKS["pretraining"].guess_from_annotations([])


def test_better_than_chance_follows_the_direction():
    assert TASKS["retrieval"].compare_with_chance(0.5, 0.25) == 2
    assert (
        TASKS["count"].compare_with_chance(2.0, 4.0) == 2
        and TASKS["count"].compare_with_chance(0.0, 4.0) is None
    )


def test_the_same_task_may_be_registered_again_and_another_one_may_not():
    task: Task = TASKS["vqa"]
    register_task(replace(task))
    with pytest.raises(ValueError, match="a task 'vqa' is registered already"):
        register_task(replace(task, main_number="num_items"))
    assert TASKS["vqa"] == task
