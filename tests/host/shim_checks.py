"""A program that checks each shim twice on the real MMF: as installed, and with that one shim left out.

Heavy libraries are imported once; each check runs in a fork that imports MMF itself anew. Prints JSON:
``{shim: {"on": problem or null, "off": problem or null}}`` for the shims that the installed version of MMF
needs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

RELEASE, BOTH, MAIN = ("release",), ("release", "main"), ("main",)


def make_config(*options, config=True):
    """Build MMF's configuration of the toy plugin's run from a command line."""
    from mmf.utils.configuration import Configuration

    plugin = Path(__file__).resolve().parent.parent / "toy_plugin"
    given = [f"config={plugin / 'configs' / 'run.yaml'}"] if config else []
    options = [*given, "model=toy_mlp", "dataset=toy_points", f"env.user_dir={plugin}", *options]
    return Configuration(argparse.Namespace(opts=options, config_override=None)).get_config()


def check_skip_importing_all_transformers():
    import mmf  # noqa: F401

    loaded = [name for name in sys.modules if name.startswith("transformers.models.") and "modeling_" in name]
    assert len(loaded) < 40, f"{len(loaded)} models of transformers are imported"


def check_import_models_late():
    import mmf  # noqa: F401
    from mmf.common.registry import registry
    from mmf.utils.env import setup_imports

    setup_imports()
    assert not {"mmf.models.visual_bert", "mmf.modules.encoders"} & set(sys.modules), "models are imported"
    assert registry.get_model_class("visual_bert") is not None


def check_settle_run_folder():
    import mmf  # noqa: F401
    from mmf.utils.build import build_config
    from mmf.utils.configuration import Configuration

    plugin = Path(__file__).resolve().parent.parent / "toy_plugin"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "metrics.jsonl").write_text("{}\n")
        options = [f"config={plugin / 'configs' / 'run.yaml'}", "model=toy_mlp", "dataset=toy_points"]
        options += [f"env.user_dir={plugin}", f"env.save_dir={folder}"]
        try:
            build_config(Configuration(argparse.Namespace(opts=options, config_override=None)))
        except ValueError as error:
            assert "holds a run already" in str(error)
        else:
            raise AssertionError("a second run writes into the folder of the first")


def check_find_user_dir():
    import mmf  # noqa: F401
    from mmf.utils.env import import_user_module

    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "package_of_a_check")
        package.mkdir()
        (package / "__init__.py").write_text("")
        import_user_module(f"{package}/")
        assert package.name in sys.modules


def check_import_from_any_directory():
    # As if MMF were installed below a directory of that name.
    import importlib.util
    import shutil

    source = Path(importlib.util.find_spec("mmf").origin).parent
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "my_models" / "site"
        target.mkdir(parents=True)
        shutil.copytree(source, target / "mmf")
        for name in [name for name in sys.modules if name == "mmf" or name.startswith("mmf.")]:
            del sys.modules[name]
        sys.path.insert(0, str(target))
        import mmf

        assert mmf.__file__.startswith(str(target)), mmf.__file__
        from mmf.common.registry import registry

        assert registry.get_builder_class("vqa2") is not None


def check_find_our_configs():
    import mmf  # noqa: F401
    from mmf.utils.configuration import load_yaml

    os.chdir("/")
    assert "model_config" in load_yaml("configs/models/clipbert/defaults.yaml")


def check_find_included_files():
    import mmf  # noqa: F401
    from mmf.utils.configuration import load_yaml

    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        Path("mine.yaml").write_text(
            "includes: [configs/defaults.yaml, projects/clipbert/configs/video_text_csv/counts.yaml]\n"
            "training: {max_epochs: 3}\n"
        )
        for place in ("mine.yaml", str(Path("mine.yaml").resolve())):
            config = load_yaml(place)
            assert (config.training.max_epochs, config.training.num_workers) == (3, 4)
            assert config.model_config.clipbert.head.type == "regress" and "run_type" in config
        for text, message in (
            ("[nothing.yaml]", "includes 'nothing.yaml', which is not"),
            ("a.yaml", "a list"),
            ("[bad.yaml]", "includes itself"),
            ("[other.yaml]", "includes itself"),
            ("[" * 3000 + "]" * 3000, "nested too deep"),
        ):
            Path("bad.yaml").write_text(f"includes: {text}\n")
            Path("other.yaml").write_text("includes: [bad.yaml]\n")
            try:
                load_yaml("bad.yaml")
            except (FileNotFoundError, ValueError) as error:
                assert "bad.yaml" in str(error) and message in str(error), error
            else:
                raise AssertionError(text)


def check_keep_cache_elsewhere():
    import mmf  # noqa: F401

    for name in ("MMF_CACHE_DIR", "MMF_DATA_DIR", "TORCH_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    for variable in ("HOME", "MMF_DATA_DIR", "MMF_CACHE_DIR"):
        for folder in ("/proc/nobody", "/dev/null/nobody"):  # nobody can make these, root neither
            os.environ[variable] = folder
            config = make_config()
            for place in (config.env.cache_dir, config.env.data_dir):
                assert Path(place).is_dir() and Path(place).is_relative_to(tempfile.gettempdir()), place
    os.environ["MMF_CACHE_DIR"] = os.environ["MMF_DATA_DIR"] = tempfile.gettempdir()
    config = make_config()
    assert config.env.cache_dir == config.env.data_dir == tempfile.gettempdir()


def check_accept_missing_learning_rate():
    import mmf  # noqa: F401

    assert "learning_rate" not in make_config()


def check_register_env_resolver():
    import mmf  # noqa: F401

    os.environ["MMF_SAVE_DIR"] = "/tmp/somewhere"
    assert make_config().env.save_dir == "/tmp/somewhere"


def check_read_options_as_yaml():
    import mmf  # noqa: F401

    training = make_config(
        "training.seed=null",
        "training.tensorboard=true",
        "training.experiment_name=a=b",
        "training.early_stop={patience: 7}",
    ).training
    assert (training.seed, training.tensorboard, training.experiment_name) == (None, True, "a=b"), training
    assert training.early_stop.patience == 7 and not training.early_stop.minimize
    os.environ["MMF_USER_DIR"] = ""
    assert make_config(config=False).model == "toy_mlp"


def check_check_configurations():
    import mmf  # noqa: F401

    try:
        make_config("run_type=tran")
    except ValueError as error:
        assert "did you mean 'train'" in str(error)
    else:
        raise AssertionError("a wrong run_type is not refused")


def check_quiet_warnings():
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import mmf  # noqa: F401

        make_config()
        warnings.warn("The epoch parameter in `scheduler.step()` was not necessary", stacklevel=1)
    messages = [str(one.message) for one in caught]
    assert not any(
        "register_resolver" in text or "epoch parameter" in text or "In the sequence" in text
        for text in messages
    ), messages


def check_use_current_collections():
    make_logger().log_progress({"a": 1})


def make_logger():
    """Create the release's logger in a temporary directory."""
    import mmf  # noqa: F401
    from mmf.common.registry import registry
    from mmf.utils.logger import Logger

    config = make_config(f"env.save_dir={tempfile.mkdtemp()}", "training.stdout_capture=false")
    registry.register("config", config)
    return Logger(config, name="mmf.train")


def check_give_wandb_plain_values():
    import types

    import mmf  # noqa: F401
    from mmf.common.registry import registry
    from mmf.utils.logger import WandbLogger

    folder = tempfile.mkdtemp()
    config = make_config(f"env.save_dir={folder}", "training.wandb.enabled=true")
    registry.register("config", config)
    given = {}
    # The library is optional, and a check of what it gets needs no account.
    ended = []
    sys.modules["wandb"] = types.SimpleNamespace(
        run=None, init=lambda **more: given.update(more), finish=lambda: ended.append(True)
    )
    logger = WandbLogger(config=config, project="mmf")
    logger.close()
    del logger
    assert len(ended) == 1
    assert type(given["config"]) is dict and given["dir"] == folder, (type(given["config"]), given.get("dir"))


def check_show_plugin_messages():
    import logging

    logger = make_logger()
    logging.getLogger("clipbert_mmf.anything").info("the plugin says hello")
    assert "the plugin says hello" in Path(logger.save_dir, "train.log").read_text()


def check_write_config_as_yaml():
    import types

    import mmf  # noqa: F401
    from mmf.utils.checkpoint import Checkpoint
    from omegaconf import OmegaConf

    folder = tempfile.mkdtemp()
    state = types.SimpleNamespace(ckpt_foldername=folder, config=OmegaConf.create({"a": {"b": 1}}))
    Checkpoint.save_config(state)
    assert OmegaConf.load(Path(folder) / "config.yaml").a.b == 1


def check_restart_dataset_iterators():
    import mmf  # noqa: F401
    import numpy as np
    from mmf.common.registry import registry
    from mmf.datasets.multi_dataset_loader import MultiDatasetLoader

    registry.register("config", make_config())
    registry.register("current_device", "cpu")
    loader = MultiDatasetLoader("train")
    loader._num_datasets, loader._datasets, loader._loaders = 2, ["a", "b"], [[1, 2], [3]]
    loader._dataset_probabilities, loader._proportional_sampling = [2 / 3, 1 / 3], True
    loader.current_index, loader.current_dataset, loader.current_loader = 0, "a", [1, 2]
    np.random.seed(0)
    for _ in range(2):
        seen = []
        for batch in loader:
            seen.append(batch)
            assert len(seen) < 10
            if len(loader._finished_iterators) < 2:
                loader.change_dataloader()
        assert sorted(seen) == [1, 2, 3], seen


def check_let_builders_skip_the_registry():
    import mmf  # noqa: F401
    from mmf.datasets.base_dataset_builder import BaseDatasetBuilder

    BaseDatasetBuilder("any").update_registry_for_model({})


def check_keep_metric_params():
    import mmf  # noqa: F401
    import torch
    from mmf.common.registry import registry
    from mmf.common.sample import SampleList
    from mmf.modules.metrics import BaseMetric, Metrics
    from omegaconf import OmegaConf

    @registry.register_metric("shim_check")
    class ShimCheck(BaseMetric):
        def __init__(self, depth=1):
            super().__init__("shim_check")
            self.depth = depth

        def calculate(self, sample_list, model_output):
            return float(self.depth)

    whole = Metrics(
        OmegaConf.create([{"type": "shim_check", "params": {"depth": 7}, "key": "deep", "datasets": ["toy"]}])
    )
    assert list(whole.metrics) == ["deep"] and whole.metrics["deep"].depth == 7, whole.metrics
    for name, expected in (("toy", {"val/toy/deep": 7.0}), ("other", {})):
        batch = SampleList()
        batch.dataset_type, batch.dataset_name, batch.scores, batch.targets = (
            "val",
            name,
            torch.ones(1),
            torch.ones(1),
        )
        assert {key: float(value) for key, value in whole(batch, batch).items()} == expected


def check_accept_mappings_of_metrics():
    import mmf  # noqa: F401
    import torch
    from mmf.common.registry import registry
    from mmf.common.sample import SampleList
    from mmf.modules.metrics import BaseMetric, Metrics

    @registry.register_metric("shim_mapping")
    class ShimCheck(BaseMetric):
        def __init__(self):
            super().__init__("shim_mapping")

        def calculate(self, sample_list, model_output):
            return {"first": 1, "second": torch.tensor([2.0])}

    batch = SampleList()
    batch.dataset_type, batch.dataset_name = "val", "toy"
    batch.scores, batch.targets = torch.ones(1), torch.ones(1)
    values = Metrics(["shim_mapping"])(batch, batch)
    assert {key: value.tolist() for key, value in values.items()} == {
        "val/toy/shim_mapping/first": [1.0],
        "val/toy/shim_mapping/second": [2.0],
    }
    assert registry.get("metrics.toy.val") == values


def check_accumulate_present_fields():
    import mmf  # noqa: F401
    import torch
    from mmf.common.report import Report

    reports = [Report([("scores", torch.ones(size)), ("losses", {})]) for size in (1, 2)]
    # Main has one function for fields and losses.
    accumulate = getattr(reports[0], "accumulate_tensor_fields", None)
    (accumulate or reports[0].accumulate_tensor_fields_and_loss)(reports[1], ["scores", "absent"])
    assert len(reports[0].scores) == 3


def check_offer_smaller_resnets():
    import mmf  # noqa: F401
    import torch
    from mmf.modules.encoders import ImageEncoder
    from omegaconf import OmegaConf

    for places, shape in ((1, (2, 1, 512)), (4, (2, 4, 512)), (-1, (2, 9, 512))):
        encoder = ImageEncoder(
            OmegaConf.create(
                {
                    "type": "torchvision_resnet",
                    "params": {
                        "name": "resnet18",
                        "out_dim": 512,
                        "num_output_features": places,
                    },
                }
            )
        )
        assert encoder(torch.zeros(2, 3, 96, 96)).shape == shape and encoder.out_dim == 512


def check_keep_losses_to_their_datasets():
    import mmf  # noqa: F401
    import torch
    from mmf.common.registry import registry
    from mmf.common.sample import SampleList
    from mmf.modules.losses import MMFLoss

    @registry.register_loss("shim_check")
    class ShimCheck(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.datasets = ["toy"]

        def forward(self, sample_list, model_output):
            return torch.ones(1)

    for name, expected in (("toy", ["val/toy/shim_check"]), ("other", [])):
        batch = SampleList()
        batch.dataset_type, batch.dataset_name = "val", name
        assert list(MMFLoss("shim_check")(batch, {})) == expected


def check_count_processes_without_nccl():
    import mmf  # noqa: F401
    import mmf.utils.distributed as module

    # As on a CPU build of torch.
    import torch

    torch.distributed.is_nccl_available = lambda: False
    torch.distributed.is_initialized = lambda: True
    torch.distributed.get_world_size = lambda: 3
    assert module.get_world_size() == 3


def check_join_with_any_backend():
    import mmf  # noqa: F401
    from mmf.utils.distributed import distributed_init
    from omegaconf import OmegaConf

    config = OmegaConf.create(
        {
            "distributed": {
                "backend": "gloo",
                "init_method": f"file://{tempfile.mktemp()}",
                "world_size": 1,
                "rank": 0,
            },
            "training": {"device": "cpu"},
        }
    )
    assert distributed_init(config) == 0


def check_start_with_any_device():
    import mmf  # noqa: F401
    import mmf_cli.run as runner
    from omegaconf import OmegaConf

    config = OmegaConf.create(
        {
            "distributed": {"init_method": None, "world_size": 2, "port": -1, "backend": "gloo"},
            "training": {"device": "cpu"},
        }
    )
    runner.infer_init_method(config)
    assert config.distributed.world_size <= runner.torch.cuda.device_count(), "refused without two GPUs"


def write_zoo(folder):
    """Register a configuration whose model zoo has one entry, a file on this machine."""
    import mmf  # noqa: F401
    from mmf.common.registry import registry
    from omegaconf import OmegaConf

    (folder / "weights.pth").write_bytes(b"weights")
    (folder / "zoo.yaml").write_text(
        f"toy_mlp:\n  mine:\n    version: '1'\n    resources:\n    - url: file://{folder / 'weights.pth'}\n"
        "      file_name: weights.pth\n      compressed: false\n"
    )
    environment = {"model_zoo": str(folder / "zoo.yaml"), "data_dir": str(folder / "data"), "user_dir": ""}
    registry.register("config", OmegaConf.create({"env": environment}))


def check_name_zoo_entries():
    with tempfile.TemporaryDirectory() as folder:
        write_zoo(Path(folder))
        from mmf.utils.download import download_pretrained_model

        try:
            download_pretrained_model("toy_mlp.yours")
        except ValueError as error:
            assert "has no 'toy_mlp.yours'; it has toy_mlp.mine" in str(error)


def check_copy_local_resources():
    with tempfile.TemporaryDirectory() as folder:
        write_zoo(Path(folder))
        from mmf.utils.download import download_pretrained_model

        for _ in range(2):
            found = Path(download_pretrained_model("toy_mlp.mine"), "weights.pth")
            assert found.read_bytes() == b"weights"


def check_name_known_trainers():
    import mmf  # noqa: F401
    from mmf.utils.build import build_trainer
    from omegaconf import OmegaConf

    try:
        build_trainer(OmegaConf.create({"training": {"trainer": "clipbret"}}))
    except ValueError as error:
        assert "training.trainer is 'clipbret'" in str(error) and "clipbert" in str(error)


def make_early_stopping(criterion):
    import mmf  # noqa: F401
    from mmf.utils.early_stopping import EarlyStopping

    return EarlyStopping(None, None, criterion)


def check_watch_validation():
    for criterion in ("msrvtt_retrieval/total", "val/msrvtt_retrieval/total"):
        stopping = make_early_stopping(criterion)
        assert stopping.early_stop_criteria == stopping.metric == "val/msrvtt_retrieval/total"


def check_keep_patience():
    stopping = make_early_stopping("total_loss")
    stopping.init_from_checkpoint({"best_iteration": 8, "best_metric_value": 0.5, "best_update": 4})
    assert stopping.best_monitored_update == 4


def check_accept_dashed_local_rank():
    import mmf  # noqa: F401
    from mmf.utils.flags import flags

    for option in (["--local-rank=1"], ["--local_rank", "1"]):
        os.environ.pop("LOCAL_RANK", None)
        arguments = flags.get_parser().parse_args([*option, "model=clipbert"])
        assert arguments.local_rank == 1 and arguments.opts == ["model=clipbert"], arguments
        assert os.environ["LOCAL_RANK"] == "1"
    os.environ["LOCAL_RANK"] = "3"
    flags.get_parser().parse_args(["--local-rank=1"])
    assert os.environ["LOCAL_RANK"] == "3"


def check_stay_on_cpu():
    import types

    import mmf  # noqa: F401
    import torch
    from mmf.models.visual_bert import VisualBERT

    batch = types.SimpleNamespace(visual_embeddings=torch.zeros(2, 4, 8), image_dim=torch.tensor([4, 1]))
    assert VisualBERT.add_custom_params(None, batch).image_mask.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]


def check_leave_transformers_alone():
    import mmf  # noqa: F401
    import torch
    from mmf.modules.hf_layers import replace_with_jit
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    replace_with_jit()
    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertModel(config)(input_ids=torch.ones(1, 3, dtype=torch.int64))


def check_load_without_running_code():
    import mmf  # noqa: F401
    import torch
    from mmf.utils.checkpoint import load_pretrained_model

    asked = []

    def load(*_, **options):
        asked.append(options.get("weights_only"))
        raise InterruptedError

    torch.load = load  # this process is a fork
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text("model_config: {toy: {}}\n")
        (Path(folder) / "toy.pth").touch()
        with contextlib.suppress(InterruptedError):
            load_pretrained_model(folder)
    assert asked == [True], f"torch.load is called with weights_only={asked}"


def check_load_without_post_init():
    import mmf  # noqa: F401
    from mmf.models.visual_bert import VisualBERTBase
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    with tempfile.TemporaryDirectory() as folder:
        BertModel(config).save_pretrained(folder)
        assert VisualBERTBase.from_pretrained(folder, config=config, visual_embedding_dim=4) is not None


def check_return_tuples_from_text_encoders():
    import mmf  # noqa: F401
    import torch
    from mmf.models.unimodal import UnimodalBase
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    with tempfile.TemporaryDirectory() as folder:
        BertModel(config).save_pretrained(folder)
        settings = {
            "type": "transformer",
            "params": {
                "bert_model_name": folder,
                "hidden_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 1,
                "output_attentions": False,
                "output_hidden_states": False,
            },
        }
        from omegaconf import OmegaConf

        base = UnimodalBase(OmegaConf.create({"text_encoder": settings}))
    ids = torch.ones(2, 5, dtype=torch.int64)
    assert base(ids, ids, ids * 0).shape == (2, 8)


def check_tell_batches_from_tuples():
    import mmf  # noqa: F401
    import torch
    from mmf.models.unimodal import UnimodalBase

    base = UnimodalBase.__new__(UnimodalBase)
    torch.nn.Module.__init__(base)
    base.encoder = torch.nn.Identity()
    assert UnimodalBase.forward(base, torch.zeros(2, 3, 4)).shape == (2, 12)


CHECKS = {
    "settle_run_folder": BOTH,
    "find_user_dir": BOTH,
    "tell_batches_from_tuples": RELEASE,
    "return_tuples_from_text_encoders": MAIN,
    "load_without_running_code": BOTH,
    "load_without_post_init": BOTH,
    "give_wandb_plain_values": MAIN,
    "name_zoo_entries": BOTH,
    "copy_local_resources": BOTH,
    "name_known_trainers": BOTH,
    "watch_validation": BOTH,
    "keep_patience": BOTH,
    "accept_dashed_local_rank": BOTH,
    "stay_on_cpu": RELEASE,
    "leave_transformers_alone": MAIN,
    "skip_importing_all_transformers": MAIN,
    "import_from_any_directory": RELEASE,
    "import_models_late": BOTH,
    "find_our_configs": BOTH,
    "find_included_files": BOTH,
    "keep_cache_elsewhere": BOTH,
    "accept_missing_learning_rate": RELEASE,
    "register_env_resolver": RELEASE,
    "read_options_as_yaml": BOTH,
    "check_configurations": BOTH,
    "quiet_warnings": BOTH,
    "use_current_collections": RELEASE,
    "show_plugin_messages": RELEASE,
    "write_config_as_yaml": RELEASE,
    "restart_dataset_iterators": RELEASE,
    "let_builders_skip_the_registry": RELEASE,
    "keep_metric_params": RELEASE,
    "accept_mappings_of_metrics": RELEASE,
    "accumulate_present_fields": RELEASE,
    "keep_losses_to_their_datasets": RELEASE,
    "offer_smaller_resnets": RELEASE,
    "count_processes_without_nccl": BOTH,
    "join_with_any_backend": BOTH,
    "start_with_any_device": BOTH,
}


def run_in_fork(name: str, skip: str) -> str | None:
    """Run one check in a fork; return the last line of its failure, or None."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.environ["CLIPBERT_MMF_SKIP_SHIMS"] = skip
        try:
            globals()[f"check_{name}"]()
        except BaseException:
            os.write(writer, traceback.format_exc().strip().splitlines()[-1].encode()[:2000] or b"failed")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        problem = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    return problem or None


def main() -> None:
    """Run all checks that this version of MMF needs."""
    import omegaconf  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torchvision  # noqa: F401
    import transformers.models.bert.modeling_bert  # noqa: F401

    import clipbert_mmf  # noqa: F401
    from clipbert_mmf.host.mmf_version import mmf_version

    results = {
        name: {"on": run_in_fork(name, ""), "off": run_in_fork(name, name)}
        for name, versions in CHECKS.items()
        if mmf_version() in versions
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
