"""Keys of version 0.1 are refused with the name they have now."""

import pytest

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.old_names import OLD_METRICS, refuse_old_names
from clipbert_mmf.scoring.metrics import METRICS


@pytest.mark.parametrize(
    "config, message",
    [
        (
            {"evaluation": {"metrics": ["accuracy", "clipbert_t2v_r1"]}},
            r"evaluation.metrics\[1\] is 'clipbert_t2v_r1'.*write 'clipbert_retrieval', which gives 't2v_r1'",
        ),
        (
            {
                "evaluation": {
                    "metrics": [{"type": "clipbert_vqa_accuracy_yes_no", "datasets": ["vqa2_pixels"]}]
                }
            },
            r"evaluation.metrics\[0\] .*write 'clipbert_vqa', which gives 'accuracy_yes_no'",
        ),
        (
            {"training": {"early_stop": {"criteria": "val/tgif_qa_count/clipbert_count_mse"}}},
            "training.early_stop.criteria .*write 'val/tgif_qa_count/clipbert_count/mse'",
        ),
        (
            {"model_config": {"clipbert": {"losses": [{"type": "clipbert_count_mse"}]}}},
            r"model_config.clipbert.losses\[0\] .*write 'clipbert_count_loss'",
        ),
        (
            {"evaluation": {"metrics": "[clipbert_retrieval]"}},
            r"evaluation.metrics is the word '\[clipbert_retrieval\]'; expected a list",
        ),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(config, message):
    with pytest.raises(ConfigurationError, match=message):
        refuse_old_names(config)


def test_all_keys_of_the_old_version_have_a_new_name_and_new_ones_are_let_through():
    assert len(OLD_METRICS) == 23 + 1 + 4 * 11
    assert {name.split("/")[0] for name in OLD_METRICS.values()} == set(METRICS)
    refuse_old_names(
        {
            "evaluation": {"metrics": [*METRICS, {"type": "accuracy"}]},
            "training": {"early_stop": {"criteria": "total_loss"}},
            "model_config": {"clipbert": {"losses": [{"type": "clipbert_count_loss"}]}, "other": None},
        }
    )
