"""``clipbert inspect`` names the format of a file."""

import json

from clipbert_mmf.cli.main import main


def test_a_checkpoint_of_a_run_is_recognised(small_run, capsys):
    assert main(["inspect", str(small_run / "best.ckpt")]) == 0
    assert "our own checkpoint" in capsys.readouterr().out
    assert main(["inspect", str(small_run / "best.ckpt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"]
