"""``clipbert report``: one page about a run."""


def test_the_page_of_a_run_without_predictions_is_written_and_named(run_verb, read_json, run_of, tmp_path):
    code, out, error = run_verb("report", run_of("match"), "--out", tmp_path / "page.html")
    assert (code, out) == (0, f"{tmp_path / 'page.html'}\n"), error
    assert "t2v_r1" in (tmp_path / "page.html").read_text()
    assert read_json("report", run_of("match"), "--out", tmp_path / "b.html") == {
        "out": str(tmp_path / "b.html")
    }


def test_a_folder_that_is_no_run_is_refused_in_one_line(run_verb, tmp_path):
    code, out, error = run_verb("report", tmp_path)
    assert (code, out) == (1, "") and "has neither config.yaml nor metrics.jsonl" in error
    assert len(error.splitlines()) == 1
