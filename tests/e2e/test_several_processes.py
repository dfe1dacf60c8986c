"""Two and four processes train and measure as one does, whatever is split over them, and go on from one another."""

import pytest
import torch
import torch.distributed.fsdp

pytest.importorskip("mmf")

from tests.e2e.running import demo_options
from tests.toy_group import run_group
from tests.toy_runs import losses_by_update, read_records, run_here

#: FSDP2 is in PyTorch since 2.6.
HAS_FULL = hasattr(torch.distributed.fsdp, "fully_shard")
#: The gloo of old versions cannot sum bf16.
HALF = "bf16" if HAS_FULL else "fp16"
needs_full = pytest.mark.skipif(not HAS_FULL, reason="training.sharding=full needs PyTorch 2.6")
#: 30 items in batches of 4: the last batch of an epoch has two items. Of 3 items to test, some processes get
#: none.
UNEVEN = [
    "dataset_config.toy_points.num_train=30",
    "training.update_frequency=3",
    "training.max_updates=7",
    "dataset_config.toy_points.num_test=3",
    "training.checkpoint_interval=3",
    "checkpoint.max_to_keep=-1",
]
#: A limit that every update reaches, so that a norm of a part of the gradients would show.
CLIPPED = [*UNEVEN, "training.max_grad_l2_norm=0.05"]


def resume(folder):
    return f"checkpoint.resume_file={folder / 'models' / 'model_3.ckpt'}"


def without_full(runs):
    """Leave out runs that need FSDP2, where it is not there."""
    return {name: options for name, options in runs.items() if HAS_FULL or "full" not in name}


def metrics_of(folder):
    return [(r["split"], r["update"], r["metrics"]) for r in read_records(folder) if r["split"] != "train"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same runs in one process."""
    folder = tmp_path_factory.mktemp("alone")
    run_here(folder / "plain", *UNEVEN)
    run_here(folder / "clipped", *CLIPPED)
    return folder


@pytest.fixture(scope="module")
def two(alone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    runs = {
        "plain": UNEVEN,
        "optimizer": [*CLIPPED, "training.sharding=optimizer"],
        "full": [*CLIPPED, "training.sharding=full"],
        "full_from_optimizer": [*CLIPPED, "training.sharding=full", resume(folder / "optimizer")],
        "optimizer_from_full": [*CLIPPED, "training.sharding=optimizer", resume(folder / "full")],
        "none_from_one": [*CLIPPED, resume(alone / "clipped")],
        "half": [*UNEVEN, f"training.gradient_reduction={HALF}"],
        "static": [*UNEVEN, "training.static_graph=true", "training.find_unused_parameters=true"],
        "unused": [*UNEVEN, "training.find_unused_parameters=true", "model_config.toy_mlp.with_unused=true"],
    }
    return folder, run_group(folder, without_full(runs), world_size=2)


@pytest.fixture(scope="module")
def four(two, tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    runs = {
        "plain": UNEVEN,
        "from_two": [*CLIPPED, resume(two[0] / "optimizer")],
        "full_from_two": [*CLIPPED, "training.sharding=full", resume(two[0] / "optimizer")],
    }
    return folder, run_group(folder, without_full(runs), world_size=4)


def assert_same_run(folder, reference, atol=1e-6):
    """Losses, metrics and final weights are those of the reference, or the part of them after a resume."""
    losses, expected = (losses_by_update(read_records(path)) for path in (folder, reference))
    assert losses and max(losses) == 7
    assert losses == pytest.approx({update: expected[update] for update in losses}, abs=atol)
    assert metrics_of(folder) == metrics_of(reference)
    trained, wanted = (
        torch.load(path / "toy_mlp_final.pth", weights_only=True) for path in (folder, reference)
    )
    assert set(trained) >= set(wanted)
    for key, value in wanted.items():
        assert type(trained[key]) is torch.Tensor
        torch.testing.assert_close(trained[key], value, atol=max(atol, 2e-6), rtol=1e-5)


@pytest.mark.parametrize(
    "name, reference",
    [
        ("plain", "plain"),
        ("optimizer", "clipped"),
        pytest.param("full", "clipped", marks=needs_full),
        pytest.param("full_from_optimizer", "clipped", marks=needs_full),
        pytest.param("optimizer_from_full", "clipped", marks=needs_full),
        ("none_from_one", "clipped"),
        ("static", "plain"),
        ("unused", "plain"),
    ],
)
def test_two_processes_train_and_measure_as_one_does(alone, two, name, reference):
    assert_same_run(two[0] / name, alone / reference)


@pytest.mark.parametrize(
    "name, reference",
    [
        ("plain", "plain"),
        ("from_two", "clipped"),
        pytest.param("full_from_two", "clipped", marks=needs_full),
    ],
)
def test_four_processes_do_so_too_and_go_on_from_two(alone, four, name, reference):
    assert_same_run(four[0] / name, alone / reference)


@pytest.mark.parametrize("name", ["optimizer", pytest.param("full", marks=needs_full)])
def test_one_process_goes_on_from_a_sharded_run(alone, two, tmp_path, name):
    run_here(tmp_path, *CLIPPED, resume(two[0] / name))
    assert_same_run(tmp_path, alone / "clipped")


@pytest.mark.parametrize("name", ["optimizer", pytest.param("full", marks=needs_full)])
def test_a_sharded_runs_checkpoint_looks_like_any_other(alone, two, name):
    stored, usual = (
        torch.load(folder / "models" / "model_3.ckpt", weights_only=True)
        for folder in (two[0] / name, alone / "clipped")
    )
    assert set(stored) == set(usual) and set(stored["model"]) == set(usual["model"])
    assert set(stored["optimizer"]["state"]) == set(usual["optimizer"]["state"])
    for index, values in usual["optimizer"]["state"].items():
        for key, value in values.items():
            assert type(stored["optimizer"]["state"][index][key]) is torch.Tensor
            torch.testing.assert_close(stored["optimizer"]["state"][index][key], value, atol=1e-6, rtol=1e-4)


def test_sharding_leaves_each_process_a_part_of_the_optimizers_state(two):
    whole = two[1]["plain"][0]["state_bytes"]
    for name in without_full({"optimizer": [], "full": []}):
        parts = [notes["state_bytes"] for notes in two[1][name]]
        assert max(parts) < 0.6 * whole and sum(parts) == pytest.approx(whole, rel=0.03)


def test_gradients_are_summed_once_per_update(two, four):
    """Seven updates of three batches.

    A static graph is recorded in one more backward pass, which sums its bucket.
    """
    assert [notes["reductions"] for notes in two[1]["plain"]] == [7, 7]
    assert [notes["reductions"] for notes in four[1]["plain"]] == [7] * 4
    assert all(7 <= notes["reductions"] <= 9 for notes in two[1]["static"])


def test_gradients_summed_in_half_precision_give_nearly_the_same_run(alone, two):
    losses, expected = (losses_by_update(read_records(f)) for f in (two[0] / "half", alone / "plain"))
    assert losses == pytest.approx(expected, abs=1e-2)
    assert losses != pytest.approx(expected, abs=1e-7)


def test_a_run_leaves_no_thread_that_could_outlive_python(two, four):
    """Only FSDP2 keeps its group in a cache of PyTorch's; its threads are idle by then."""
    left = {
        name: notes["threads"] for runs in (two[1], four[1]) for name, many in runs.items() for notes in many
    }
    assert {name for name, number in left.items() if number > 0} <= {
        "full",
        "full_from_optimizer",
        "full_from_two",
    }


def test_the_same_items_per_update_in_other_batches_continue_the_run(alone, tmp_path):
    run_here(
        tmp_path, *UNEVEN, "training.batch_size=6", "training.update_frequency=2", resume(alone / "plain")
    )
    assert_same_run(tmp_path, alone / "plain")


@needs_full
def test_clipbert_with_sharded_weights_trains_and_ranks_as_without(corpus, tmp_path):
    """The head of pre-training shares its weight with the embedding, and retrieval runs parts of the model alone.

    Frozen norms are folded into weights of which every process has a part.
    """

    def make_options(save_dir, *options):
        dataset = "msrvtt_retrieval" if "retrieval" in save_dir.name else "coco_captions_pretraining"
        return demo_options(
            corpus,
            dataset,
            save_dir,
            "training.max_updates=2",
            "training.evaluation_interval=2",
            "run_type=train_val",
            "training.update_frequency=2",
            *options,
        )

    full = ["training.sharding=full"]
    frozen = ["model_config.clipbert.backbone.norm=frozen_batch"]
    runs = {
        "retrieval": [],
        "retrieval_full": full,
        "pretraining": [],
        "pretraining_full": full,
        "frozen_retrieval": frozen,
        "frozen_retrieval_full": [*frozen, *full],
    }
    run_group(tmp_path, runs, world_size=2, make_options=make_options)
    for name in ("retrieval", "pretraining", "frozen_retrieval"):
        losses, expected = (losses_by_update(read_records(tmp_path / run)) for run in (f"{name}_full", name))
        assert set(losses) == {1, 2} and losses == pytest.approx(expected, abs=1e-4)
        keys = [[sorted(keys) for _, _, keys in metrics_of(tmp_path / run)] for run in (f"{name}_full", name)]
        assert keys[0] == keys[1] and keys[0]
        stored, usual = (
            torch.load(tmp_path / run / "clipbert_final.pth", weights_only=True)
            for run in (f"{name}_full", name)
        )
        assert {key: value.shape for key, value in stored.items()} == {
            key: value.shape for key, value in usual.items()
        }
