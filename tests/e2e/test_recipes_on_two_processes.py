"""The shipped recipes train and measure on two processes as on one, batch norm and hidden words included."""

import pytest

pytest.importorskip("mmf")

from tests.e2e.small_tasks import DATASETS, make_corpora, read_records, task_options
from tests.toy_group import run_group
from tests.toy_runs import losses_by_update

#: Matching pairs, hidden words, and answers of which some are unknown.
RECIPES = ("msrvtt_retrieval", "coco_captions_pretraining", "msrvtt_qa")
#: The last batch of an epoch is a short one that the processes cannot share evenly.
UNEVEN = [
    "run_type=train_val",
    "training.batch_size=6",
    "training.max_updates=3",
    "training.evaluation_interval=100",
    # Adam's first steps have the size of the rate whatever the gradient is, so that rounding would decide them.
    "optimizer.params.eps=1.0",
    "optimizer.params.lr=0.1",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    corpora = make_corpora(folder / "corpora", *(DATASETS[dataset] for dataset in RECIPES))
    plan = {dataset: [dataset] for dataset in RECIPES}

    def make_options(save_dir, dataset):
        own = {option.partition("=")[0] for option in UNEVEN}
        options = task_options(corpora, dataset, save_dir)
        return [*(option for option in options if option.partition("=")[0] not in own), *UNEVEN]

    for world_size in (1, 2):
        run_group(folder / str(world_size), plan, world_size, make_options, timeout=280)
    return folder


@pytest.mark.parametrize("dataset", RECIPES)
def test_two_processes_train_as_one_does(runs, dataset):
    one, two = (read_records(runs / str(count) / dataset, "train") for count in (1, 2))
    expected, found = losses_by_update(one), losses_by_update(two)
    assert len(expected) == 3 and found[1] == pytest.approx(expected[1], rel=1e-5)
    # Drawn frames have flat areas, where rounding decides which of two equal pixels a gradient goes to.
    assert found == pytest.approx(expected, rel=1e-3)
    assert two[0]["grad_norm"] == pytest.approx(one[0]["grad_norm"], rel=1e-3)
    if (
        dataset != "coco_captions_pretraining"
    ):  # a mean over batches, and each has its own number of hidden words
        losses = [read_records(runs / str(count) / dataset, "val")[-1]["losses"] for count in (1, 2)]
        assert losses[1] == pytest.approx(losses[0], rel=5e-3)
