"""What has to be mended in MMF's modules after they ran, one small function each.

Each function receives the module that has just been executed, and its docstring says what breaks without it, in which
flavour and versions, and when it can go. ``release`` is MMF 1.0.0rc10 of PyPI, ``main`` 1.0.0rc12 of the repository.
"""

from __future__ import annotations

import collections
import functools
import glob
import importlib
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from clipbert_mmf.host.distributed_shims import DISTRIBUTED_SHIMS
from clipbert_mmf.host.encoder_shims import offer_smaller_resnets
from clipbert_mmf.host.scoring_shims import keep_losses_to_their_datasets, keep_metric_params
from clipbert_mmf.host.standins import Standin


def skip_importing_all_transformers(module: ModuleType) -> None:
    """main: ``patch_transformers`` imports every model of transformers (6 s and more) to alias their old names.

    Only the names MMF imports are needed, and ``standins`` has them. Goes when main imports the new names itself.
    """
    module.patch_transformers = lambda *args, **kwargs: None


def accept_missing_options(module: ModuleType) -> None:
    """both, omegaconf >= 2.1: reading an option that was not given raises (``config=`` in main, more in release).

    Goes when MMF reads options with ``get``.
    """
    build = module.Configuration._build_opt_list

    @functools.wraps(build)
    def build_opt_list(self, opts):
        config = build(self, opts)
        for key in ("config", "model", "dataset", "datasets"):
            if key not in config:
                config[key] = None
        return config

    module.Configuration._build_opt_list = build_opt_list


def accept_missing_learning_rate(module: ModuleType) -> None:
    """release, omegaconf >= 2.1: ``config.learning_rate`` is read although no default has it. Goes with release.

    Main asks whether the key is there; giving it None would make that the optimizer's learning rate.
    """
    from clipbert_mmf.host.flavour import mmf_flavour

    if mmf_flavour() != "release":
        return
    update = module.Configuration._update_specific

    @functools.wraps(update)
    def update_specific(self, config):
        missing = "learning_rate" not in config
        if missing:
            config.learning_rate = None
        update(self, config)
        if missing:
            config.pop("learning_rate")
        return config

    module.Configuration._update_specific = update_specific


def register_env_resolver(module: ModuleType) -> None:
    """release, omegaconf >= 2.1: ``${env:NAME,default}`` is called ``oc.env`` now; main on 2.0: the reverse.

    MMF clears all resolvers whenever it builds a configuration, so ours follows each time. Goes with release.
    """
    register = module.Configuration._register_resolvers

    def read_environment(name: str, default: Any = None) -> Any:
        value = os.environ.get(name.strip(), default)
        return None if value in ("", "null", "None") else value

    @functools.wraps(register)
    def register_resolvers(self):
        register(self)
        omegaconf = module.OmegaConf
        for name in ("env", "oc.env"):
            if not _has_resolver(omegaconf, name):
                (getattr(omegaconf, "register_new_resolver", None) or omegaconf.register_resolver)(
                    name, read_environment
                )

    module.Configuration._register_resolvers = register_resolvers


def _has_resolver(omegaconf, name: str) -> bool:
    if hasattr(omegaconf, "has_resolver"):
        return omegaconf.has_resolver(name)
    return omegaconf.get_resolver(name) is not None


def accept_equal_signs_in_values(module: ModuleType) -> None:
    """release: an option whose value holds ``=`` raises ("too many values to unpack"). Goes with release."""
    if not hasattr(module.Configuration, "_merge_with_dotlist"):
        return
    merge = module.Configuration._merge_with_dotlist

    @functools.wraps(merge)
    def merge_with_dotlist(self, config, opts):
        if opts and "=" in opts[0]:
            # MMF also takes keys and values in turn; those it does not split.
            opts = [part for option in opts for part in option.split("=", 1)]
        return merge(self, config, opts)

    module.Configuration._merge_with_dotlist = merge_with_dotlist


def decode_yaml_words(module: ModuleType) -> None:
    """both: ``null``, ``true`` and ``false`` on the command line stay strings, and ``"false"`` is true.

    Goes when MMF decodes options as YAML.
    """
    words = {"null": None, "true": True, "false": False}
    owner = module if hasattr(module, "_decode_value") else module.Configuration
    decode = owner._decode_value

    @functools.wraps(decode)
    def decode_value(*args):
        value = args[-1]
        return words[value] if isinstance(value, str) and value in words else decode(*args)

    owner._decode_value = decode_value


def find_our_configs(module: ModuleType) -> None:
    """both: ``config=projects/clipbert/...`` is looked for in the working directory and in MMF only.

    With an installed wheel the files lie inside our package. Goes when MMF has a search path for configurations.
    """
    find = module.get_absolute_path

    @functools.wraps(find)
    def get_absolute_path(paths):
        found = find(paths)
        if (
            isinstance(found, str)
            and found == paths
            and not os.path.isabs(found)
            and not os.path.exists(found)
        ):
            from clipbert_mmf.paths import config_dir, project_dir

            for root in (project_dir(), config_dir()):
                if (root.parent / found).exists():
                    return str(root.parent / found)
        return found

    module.get_absolute_path = get_absolute_path


def use_current_collections(module: ModuleType) -> None:
    """release, Python >= 3.10: ``collections.Mapping`` moved to ``collections.abc``. Goes with release."""
    module.collections = Standin(
        "collections", source="collections", additions={"Mapping": collections.abc.Mapping}
    )


def show_plugin_messages(module: ModuleType) -> None:
    """release: handlers are attached to MMF's own loggers only, so ours would be silent. Goes with release."""
    logger_class = getattr(module, "Logger", None)
    if logger_class is None or not hasattr(logger_class, "add_handlers"):
        return
    start = logger_class.__init__

    @functools.wraps(start)
    def __init__(self, config, name=None):
        start(self, config, name)
        ours = logging.getLogger("clipbert_mmf")
        if self._logger is None or ours.handlers:
            return
        ours.setLevel(self._logger.level)
        ours.propagate = False
        for handler in self._logger.handlers:
            ours.addHandler(handler)

    logger_class.__init__ = __init__


def write_config_as_yaml(module: ModuleType) -> None:
    """release, omegaconf >= 2.1: ``config.pretty()`` is gone, so no run can save its configuration. Goes with release."""
    from omegaconf import DictConfig, OmegaConf

    if hasattr(DictConfig, "pretty"):
        return

    def save_config(self):
        path = os.path.join(self.ckpt_foldername, "config.yaml")
        with module.PathManager.open(path, "w") as file:
            file.write(OmegaConf.to_yaml(self.config, resolve=True))

    module.Checkpoint.save_config = save_config


def restart_dataset_iterators(module: ModuleType) -> None:
    """release: iterators of several datasets are never renewed; the second pass spins forever. Goes with release."""
    loader_class = getattr(module, "MultiDatasetLoader", None)
    if loader_class is None:
        return
    iterate = loader_class.__iter__

    @functools.wraps(iterate)
    def __iter__(self):
        if self.num_datasets > 1:
            self._iterators, self._finished_iterators, self._used_once = [], {}, {}
            self.current_index = 0
            self.current_dataset, self.current_loader = self.datasets[0], self.loaders[0]
        return iterate(self)

    loader_class.__iter__ = __iter__


def let_builders_skip_the_registry(module: ModuleType) -> None:
    """release: every builder must define ``update_registry_for_model`` although no base class does. Goes with release."""
    if not hasattr(module.BaseDatasetBuilder, "update_registry_for_model"):
        module.BaseDatasetBuilder.update_registry_for_model = lambda self, config: None


def import_from_any_directory(module: ModuleType) -> None:
    """release: ``setup_imports`` sorts files by words in their full path, so MMF installed below a directory named
    ``models`` or ``trainers`` imports the wrong modules. Goes with release.
    """
    from clipbert_mmf.host.flavour import mmf_flavour

    if mmf_flavour() != "release":
        return

    def setup_imports():
        from mmf.common.registry import registry

        if registry.get("imports_setup", no_warning=True):
            return
        root = os.path.dirname(os.path.dirname(os.path.abspath(module.__file__)))
        registry.register("pythia_path", root)
        for pattern in ("datasets/builders/*/*builder.py", "models/*.py", "trainers/*.py"):
            for path in sorted(glob.glob(os.path.join(root, pattern))):
                name = os.path.relpath(path, root)[: -len(".py")].replace(os.sep, ".")
                importlib.import_module("mmf." + name.removesuffix(".__init__"))
        registry.register("imports_setup", True)

    module.setup_imports = setup_imports


def stay_on_cpu(source: str) -> str:
    """release: ``visual_bert``, ``vilbert`` and their embeddings move new tensors to a GPU, whether there is one or not.

    Goes with release.
    """
    import torch

    return source if torch.cuda.is_available() else source.replace(".cuda()", "")


def tell_batches_from_tuples(source: str) -> str:
    """release: ``unimodal_image`` and ``unimodal_text`` take an encoder's output of length two for a tuple, so a batch
    of two loses its first item.

    Goes when the release is no longer supported.
    """
    return source.replace("if len(x) == 2:", "if not torch.is_tensor(x) and len(x) == 2:")


def leave_transformers_alone(module: ModuleType) -> None:
    """main, transformers >= 4.53: ``mmbt``, ``vilbert`` and others replace methods of transformers' BERT by scriptable
    ones of 2020, for the whole process; some of those methods are gone, so building such a model raises.

    Goes when main stops replacing them. TorchScript of these models needs an older transformers.
    """
    if not hasattr(module.BertSelfAttention, "transpose_for_scores"):
        module.replace_with_jit = lambda: None


def load_without_post_init(module: ModuleType) -> None:
    """both, transformers >= 5: models that never call ``post_init`` (``visual_bert``, ``vilbert``) have no list of tied
    weights, and loading a pretrained folder raises.

    Goes when MMF's models call ``post_init``.
    """
    from transformers import PreTrainedModel

    for model in vars(module).values():
        if (
            isinstance(model, type)
            and issubclass(model, PreTrainedModel)
            and model.__module__ == module.__name__
        ):
            model.all_tied_weights_keys = {}


def give_tuples_to_text_models(module: ModuleType) -> None:
    """main: ``unimodal_text`` and ``concat_bert`` take the second entry of a text encoder's tuple; transformers' models
    return mappings now, which are no sequences, so the first step raises.

    Goes when main asks the encoder for its pooled output by name.
    """
    for base, encoder_name in (("UnimodalBase", "encoder"), ("FusionBase", "text")):
        if hasattr(module, base):
            _return_tuples(getattr(module, base), encoder_name)


def _return_tuples(base: type, encoder_name: str) -> None:
    build = base.__init__

    def __init__(self, *args, **kwargs):
        build(self, *args, **kwargs)
        getattr(self, encoder_name).register_forward_hook(
            lambda encoder, inputs, output: output.to_tuple() if hasattr(output, "to_tuple") else None
        )

    base.__init__ = __init__


#: MMF module -> shims applied, in order, when it has run.
SHIMS: dict[str, tuple[Callable[[ModuleType], None], ...]] = {
    "mmf.utils.patch": (skip_importing_all_transformers,),
    "mmf.utils.env": (import_from_any_directory,),
    "mmf.utils.distributed": DISTRIBUTED_SHIMS,
    "mmf.utils.general": (find_our_configs,),
    "mmf.utils.configuration": (
        accept_missing_options,
        accept_missing_learning_rate,
        register_env_resolver,
        accept_equal_signs_in_values,
        decode_yaml_words,
    ),
    "mmf.utils.logger": (use_current_collections, show_plugin_messages),
    "mmf.utils.checkpoint": (write_config_as_yaml,),
    "mmf.datasets.multi_dataset_loader": (restart_dataset_iterators,),
    "mmf.datasets.base_dataset_builder": (let_builders_skip_the_registry,),
    "mmf.modules.encoders": (offer_smaller_resnets,),
    "mmf.modules.hf_layers": (leave_transformers_alone,),
    "mmf.modules.metrics": (keep_metric_params,),
    "mmf.modules.losses": (keep_losses_to_their_datasets,),
    "mmf.models.unimodal": (give_tuples_to_text_models,),
    "mmf.models.fusions": (give_tuples_to_text_models,),
    "mmf.models.visual_bert": (load_without_post_init,),
    "mmf.models.vilbert": (load_without_post_init,),
}

#: MMF module -> edit of its source, where the mistake is inside a long function.
SOURCE_EDITS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("mmf.modules.embeddings", "mmf.models.visual_bert", "mmf.models.vilbert"), stay_on_cpu),
    "mmf.models.unimodal": tell_batches_from_tuples,
}
