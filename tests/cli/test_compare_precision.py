"""``clipbert compare-precision`` compares on an annotation file and its videos."""

import json

from clipbert_mmf.cli.main import main


def test_agreement_is_printed_for_each_precision(small_run, corpus, capsys):
    msrvtt = corpus / "msrvtt"
    arguments = ["compare-precision", "--model", str(small_run), "--media", str(msrvtt / "videos")]
    arguments += ["--texts", str(msrvtt / "MSRVTT_JSFUSION_test.csv"), "--precision", "bf16", "--limit", "3"]
    assert main(arguments) == 0
    assert "of 9 pairs decided as in fp32" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["precision"] == "bf16" and found["num_pairs"] == 9
