"""``clipbert compare-precision``: one line for each precision."""


def test_half_precision_is_compared_with_fp32(run_verb, read_json, run_of, clip_folder, tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text("video,text\na.mp4,a red circle\nb.mp4,two dogs\n")
    words = ("compare-precision", "--model", run_of("match"), "--media", clip_folder, "--texts", table)
    words = (*words, "--corpus", "video_text", "--precision", "bf16")
    code, out, error = run_verb(*words)
    assert code == 0 and "bf16" in out and len(out.splitlines()) == 1, error
    (found,) = read_json(*words)
    assert found["precision"] == "bf16"


def test_parts_of_videos_are_compared_each(read_json, run_of, clip_folder, tmp_path):
    table = tmp_path / "texts.csv"
    rows = ("a.mp4,a red circle,0,1", "a.mp4,two dogs,2,3", "a.mp4,two cats,2,3", "b.mp4,a dog,,")
    table.write_text("video,text,start_sec,end_sec\n" + "\n".join(rows) + "\n")
    words = ("compare-precision", "--model", run_of("match"), "--media", clip_folder, "--texts", table)
    (found,) = read_json(*words, "--corpus", "video_text", "--precision", "bf16")
    assert (found["num_videos"], found["num_pairs"]) == (3, 12)
