"""The line of text that shows how well each clip fits."""

from clipbert_mmf.cli.timeline import draw_timeline
from clipbert_mmf.inference.asking import ClipScore

CLIPS = [ClipScore(float(n), n + 1.0, (score,)) for n, score in enumerate((-20.0, 0.1, 20.0))]


def test_a_sign_stands_for_a_share_of_the_whole_scale():
    assert draw_timeline(CLIPS, encoding="utf-8") == "0.0 s |▁▅█| 3.0 s"
    # Two scores that are nearly alike look alike: nothing is stretched to the best of them.
    alike = [ClipScore(0.0, 1.0, (1.29,)), ClipScore(1.0, 2.0, (1.31,))]
    assert draw_timeline(alike, encoding="utf-8") == "0.0 s |▇▇| 2.0 s"


def test_a_terminal_without_blocks_gets_digits_and_an_image_no_times():
    assert draw_timeline(CLIPS, encoding="latin-1") == "0.0 s |059| 3.0 s"
    assert draw_timeline([ClipScore(None, None, (20.0,))], encoding="ascii") == "|9|"
