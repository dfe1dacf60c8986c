"""``clipbert answer``: answers of a vocabulary, of given options, or a count."""

import logging
import re


def test_answers_of_the_vocabulary_are_listed_and_the_clearest_clip(run_verb, read_json, run_of, clip_folder):
    command = (
        "answer",
        "--model",
        run_of("classify"),
        clip_folder / "a.mp4",
        "what color is it",
        "--top",
        "2",
    )
    code, out, _ = run_verb(*command)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3
    assert all(re.fullmatch(r" *\d+\.\d%  (red|blue|left)", line) for line in lines[:2])
    assert re.fullmatch(r"clearest from \d\.\d s to \d\.\d s", lines[2])
    found = read_json(*command)
    assert {"answer", "probability", "candidates", "clips"} <= set(found)
    assert found["candidates"][0] == [found["answer"], found["probability"]] and len(found["candidates"]) == 2


def test_one_of_the_given_options_is_chosen(read_json, run_of, clip_folder):
    options = ("jumps", "turns", "moves")
    for head in ("choose", "match"):
        found = read_json(
            "answer", "--model", run_of(head), clip_folder / "a.mp4", "what does it do", "--options", *options
        )
        assert sorted(name for name, _ in found["candidates"]) == sorted(options)
        assert sum(chance for _, chance in found["candidates"]) > 0


def test_a_count_is_told_with_its_value_before_rounding(run_verb, read_json, run_of, clip_folder):
    command = ("answer", "--model", run_of("regress"), clip_folder / "a.mp4", "how many jumps")
    code, out, _ = run_verb(*command)
    assert code == 0 and re.match(r"\d+  \(before rounding: -?\d+\.\d\d\)\n", out)
    found = read_json(*command)
    assert isinstance(found["answer"], int) and found["probability"] is None


def test_a_choice_without_options_is_refused_in_one_line(run_verb, run_of, clip_folder):
    for head in ("choose", "match"):
        code, out, error = run_verb("answer", "--model", run_of(head), clip_folder / "a.mp4", "what is it")
        assert (code, out) == (1, "") and "options" in error and len(error.splitlines()) == 1


def test_a_question_that_is_cut_or_unknown_is_told_once(run_verb, run_of, clip_folder, caplog):
    long = "what color is the large red circle on the left near the small blue star"
    code, _, _ = run_verb("answer", "--model", run_of("classify"), clip_folder / "a.mp4", long)
    assert code == 0 and caplog.text.count("tokens and the model reads 12; its end is cut: 'what color") == 1
    caplog.clear()
    run_verb("answer", "--model", run_of("choose"), clip_folder / "a.mp4", long, "--options", "red", "blue")
    assert caplog.text.count("the question is cut, for example to 'what color") == 1
    caplog.clear()
    run_verb("answer", "--model", run_of("regress"), clip_folder / "a.mp4", "何 色 です か")
    assert "unknown to the model's tokenizer: '何 色 です か'" in caplog.text
    caplog.clear()
    run_verb("answer", "--model", run_of("regress"), clip_folder / "a.mp4", "what color is it")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
