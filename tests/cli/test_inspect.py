"""``clipbert inspect``: format, size and use of a file of weights."""


def test_a_checkpoint_is_described_in_lines_and_in_json(run_verb, read_json, run_of):
    file = run_of("match") / "clipbert_final.pth"
    code, out, _ = run_verb("inspect", file)
    assert code == 0 and out.startswith(f"{file}: our own checkpoint\n")
    assert "model_config.clipbert.weights.clipbert" in out
    found = read_json("inspect", file)
    keys = {"path", "container", "format", "parts", "files", "num_tensors", "num_values", "dtypes"}
    assert keys <= set(found)
    assert (found["container"], found["format"]) == ("PyTorch", "our own checkpoint")
    assert set(found["parts"]) == {"clipbert", "backbone", "transformer"}
    assert found["files"]["clipbert_final.pth"][0] == file.stat().st_size
    assert sum(found["dtypes"].values()) == found["num_tensors"]


def test_a_configuration_tells_what_the_file_would_fill(read_json, run_of):
    own = read_json("inspect", run_of("match") / "best.ckpt", "--config", run_of("match") / "config.yaml")
    other = read_json(
        "inspect", run_of("match") / "best.ckpt", "--config", run_of("classify") / "config.yaml"
    )
    assert own["report"] and other["report"] and own["report"] != other["report"]


def test_a_file_that_holds_no_weights_is_refused_in_one_line(run_verb, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"\0nothing" * 9)
    code, out, error = run_verb("inspect", tmp_path / "x.pth")
    assert (code, out) == (1, "") and len(error.splitlines()) == 1
    assert "is neither a PyTorch, safetensors nor pickle file" in error
