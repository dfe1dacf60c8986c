"""The rows of a head follow the words of its answers."""

import torch

from clipbert_mmf.weights.answer_rows import reorder_answers

OLD, NEW = ("red", "green", "blue"), ("blue", "black", "red", "white")


def make_state(prefix, num_rows, start, dataset=""):
    name = f"{prefix}head.{dataset}"
    return {
        f"{name}hidden.weight": torch.full((num_rows, 2), float(start)),
        f"{name}output.weight": start + torch.arange(2.0 * num_rows).reshape(num_rows, 2),
        f"{name}output.bias": start + torch.arange(float(num_rows)),
    }


def test_known_answers_keep_their_rows_and_others_begin_anew():
    given, own = make_state("network.", 3, 10), make_state("", 4, 50)
    changed, known = reorder_answers(given, own, {"a": OLD}, {"a": NEW})
    assert known == {"a": 2}
    assert changed["network.head.output.bias"].tolist() == [12, 51, 10, 53]
    assert changed["network.head.output.weight"][0].tolist() == [14, 15]
    assert changed["network.head.hidden.weight"] is given["network.head.hidden.weight"]
    assert given["network.head.output.bias"].tolist() == [10, 11, 12]


def test_each_head_of_several_goes_by_its_own_dataset():
    given = {**make_state("", 3, 10, "a."), **make_state("", 3, 20, "b.")}
    own = {**make_state("", 3, 50, "a."), **make_state("", 3, 60, "b.")}
    changed, known = reorder_answers(given, own, {"a": OLD, "b": OLD}, {"a": OLD, "b": OLD[::-1]})
    assert known == {"b": 3}
    assert changed["head.a.output.bias"].tolist() == [10, 11, 12]
    assert changed["head.b.output.bias"].tolist() == [22, 21, 20]


def test_rows_stay_where_nothing_says_their_answers():
    given, own = make_state("", 3, 10), make_state("", 3, 50)
    for before, now in (
        ({}, {"a": NEW}),
        ({"a": OLD}, {}),
        ({"a": OLD}, {"a": OLD}),
        ({"a": (*OLD, "x")}, {"a": NEW}),
    ):
        changed, known = reorder_answers(given, own, before, now)
        assert known == {} and all(changed[name] is given[name] for name in given)
