"""A report shows the surest correct and the surest wrong answers, and videos that were not found."""

from clipbert_mmf.tasks import TASKS


def answer(media_id, word, probability, right, readable=True, target="red"):
    answers = [{"answer": word, "probability": probability}] if readable else []
    common = {"media_id": media_id, "readable": readable, "text": "what color", "target": target}
    return {**common, "answers": answers, "correct": right}


def test_the_surest_answers_come_first_and_unreadable_media_are_left_out():
    records = [
        answer("a", "red", 0.6, 1.0),
        answer("b", "red", 0.9, 1.0),
        answer("c", "blue", 0.8, 0.0),
        answer("d", "", 0.0, 0.0, readable=False),
        answer("e", "blue", 0.9, 0.0, target={"red": 1.0, "pink": 0.3}),
    ]
    shown = TASKS["open_ended"].choose_examples(records, 1)
    assert [example.media_id for example in shown] == ["b", "e"] and [
        example.answer for example in shown
    ] == ["red", "blue"]
    assert shown[0].verdict == "answers 'red', 90% sure" and shown[0].is_correct
    assert shown[1].verdict == "answers 'blue', 90% sure; correct is: red (1), pink (0.3)"


def test_a_choice_is_explained_by_its_text_and_a_count_by_its_question():
    (choice,) = TASKS["multiple_choice"].choose_examples([answer("a", "red", 0.6, 1.0)], 3)
    assert (choice.text, choice.answer) == ("what color red", None)
    record = {**answer("a", 3, 0.0, 1.0), "answers": [{"answer": 3, "value": 3.2}]}
    (count,) = TASKS["count"].choose_examples([record], 3)
    assert (count.text, count.answer, count.verdict) == ("what color", None, "answers '3'")


def test_a_text_whose_video_came_second_names_the_first():
    scores = [{"t0": 3.0, "t1": 1.0}, {"t0": 1.0, "t1": 0.5}]
    records = [
        {
            "media_id": f"v{n}",
            "readable": True,
            "correct_text_ids": [f"t{n}"],
            "scores": scores[n],
            "texts": [{"text_id": f"t{k}", "text": f"text {k}"} for k in range(2)],
        }
        for n in range(2)
    ]
    first, second = TASKS["retrieval"].choose_examples(records, 3)
    assert (first.media_id, first.verdict, first.other_id) == ("v0", "found first", "")
    assert (second.media_id, second.verdict, second.other_id) == (
        "v1",
        "found at rank 2 of 2; 'v0' came first",
        "v0",
    )
