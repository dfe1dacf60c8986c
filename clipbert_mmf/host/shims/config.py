"""Compatibility patches for how MMF finds, reads and writes configurations."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
#: Folders that could not be made; the log names each once.
_replaced: set[str] = set()

#: Tells where the package's configurations lie; a name, because this package must not know ours.
PATHS = "clipbert_mmf.paths"
#: Read command lines, check configurations, and find the places that they name.
OPTIONS, CHECKS = "clipbert_mmf.plugin.command_line", "clipbert_mmf.plugin.run_checks"
PLACES = "clipbert_mmf.plugin.places"


def accept_missing_learning_rate(module: Any) -> None:
    """Set ``config.learning_rate`` to None while MMF reads it.

    The release reads it although no default has it, which raises with OmegaConf >= 2.1. Main asks whether the
    key is there; giving it None would make that the optimizer's learning rate. Remove with the release.
    """
    update = module.Configuration._update_specific

    @functools.wraps(update)
    def update_specific(self: Any, config: Any) -> Any:
        missing = "learning_rate" not in config
        if missing:
            config.learning_rate = None
        update(self, config)
        if missing:
            config.pop("learning_rate")
        return config

    module.Configuration._update_specific = update_specific


def register_env_resolver(module: Any) -> None:
    """Register the resolver of environment variables under its old and its new name.

    ``${env:NAME,default}`` of the release is called ``oc.env`` since OmegaConf 2.1, and main on 2.0 misses
    the new name. MMF clears all resolvers whenever it builds a configuration, so ours follows each time.
    Remove with the release.
    """
    register = module.Configuration._register_resolvers

    def read_environment(name: str, default: Any = None) -> Any:
        value = os.environ.get(name.strip(), default)
        return None if value in ("", "null", "None") else value

    @functools.wraps(register)
    def register_resolvers(self: Any) -> None:
        register(self)
        omegaconf = module.OmegaConf
        for name in ("env", "oc.env"):
            if not _has_resolver(omegaconf, name):
                add = getattr(omegaconf, "register_new_resolver", None) or omegaconf.register_resolver
                add(name, read_environment)

    module.Configuration._register_resolvers = register_resolvers


def _has_resolver(omegaconf: Any, name: str) -> bool:
    if hasattr(omegaconf, "has_resolver"):
        return omegaconf.has_resolver(name)
    return omegaconf.get_resolver(name) is not None


def read_options_as_yaml(module: Any) -> None:
    """Set any key of the command line, with values as YAML has them, and refuse what nothing reads.

    MMF ignores an option for a whole section or a list's entry, splits a value at each ``=``, keeps ``null``
    and ``true`` as strings, and adds no key. Remove when MMF parses options with OmegaConf's grammar.
    """
    configuration = module.Configuration

    def set_options(config: Any, opts: Any, skip_missing: bool = False, log_info: bool = True) -> Any:
        tell = module.logger.info if hasattr(module, "logger") else print
        ours = importlib.import_module(OPTIONS)
        return ours.set_options(config, opts, skip_missing, tell if log_info else None)

    if hasattr(module, "_merge_with_dotlist"):
        module._merge_with_dotlist = set_options
    else:
        configuration._merge_with_dotlist = lambda self, config, opts: set_options(config, opts)
    configuration._build_opt_list = lambda self, opts: importlib.import_module(OPTIONS).select_early_options(
        opts
    )


def check_configurations(module: Any) -> None:
    """Check a run's configuration when it is complete, before anything is built.

    MMF looks at a key when it is needed, hours later for some. Remove when MMF parses its configuration into
    typed sections.
    """
    start, build = module.Configuration.__init__, module.Configuration._build_model_config
    load_code = module.Configuration.import_user_dir

    @functools.wraps(build)
    def build_model_config(self: Any, config: Any) -> Any:
        importlib.import_module(CHECKS).check_names(config.model, config.datasets.split(","))
        return build(self, config)

    @functools.wraps(load_code)
    def import_user_dir(self: Any) -> None:
        given = self._user_config.get("env", {}).get("user_dir", None)
        if given and not self._opts_config.get("env", {}).get("user_dir", None):
            importlib.import_module(CHECKS).tell_foreign_code(str(given))
        load_code(self)

    @functools.wraps(start)
    def __init__(self: Any, args: Any = None, default_only: bool = False) -> None:  # noqa: N807  replaces MMF's
        start(self, args, default_only)
        importlib.import_module(PLACES).expand_homes(self.config)
        if args and not default_only:
            importlib.import_module(CHECKS).check_run(self.config)

    module.Configuration.__init__ = __init__
    module.Configuration._build_model_config = build_model_config
    module.Configuration.import_user_dir = import_user_dir


def find_our_configs(module: Any) -> None:
    """Look for ``config=projects/clipbert/...`` inside our package too.

    MMF looks in the working directory and in MMF only, and an installed wheel has the files elsewhere. Remove
    when MMF has a search path for configurations.
    """
    find = module.get_absolute_path

    @functools.wraps(find)
    def get_absolute_path(paths: Any) -> Any:
        found = find(os.path.expanduser(paths) if isinstance(paths, str) else paths)
        if not isinstance(found, str) or found != paths or os.path.isabs(found) or os.path.exists(found):
            return found
        return str(importlib.import_module(PATHS).find_config(found) or found)

    module.get_absolute_path = get_absolute_path


def find_included_files(module: Any) -> None:
    """Look for an entry of ``includes`` wherever ``config=`` is looked for, and name the file that asks for it.

    MMF looks inside its own package and beside the file only, so that a recipe of a user's own cannot include
    ``projects/clipbert/...``. Remove when MMF has a search path for configurations.
    """

    def load_yaml(location: str) -> Any:
        place = module.get_absolute_path(str(location))
        if not module.PathManager.exists(place):
            raise FileNotFoundError(
                f"configuration '{location}': no such file; looked in the working directory, in MMF and in the "
                f"configurations of clipbert_mmf"
            )
        return read(place)

    def read(place: str, above: tuple[str, ...] = ()) -> Any:
        merge, load = module.OmegaConf.merge, module.OmegaConf.load
        own = os.path.realpath(place)
        if own in above:
            raise ValueError(
                f"{place} includes itself: {' includes '.join((*above[above.index(own) :], own))}"
            )
        try:
            content = load(module.PathManager.get_local_path(place)) or module.OmegaConf.create()
        except RecursionError:
            raise ValueError(f"{place}: nested too deep to be a configuration") from None
        includes = content.pop("includes", None) or []
        if isinstance(includes, str):
            raise ValueError(f"{place}: includes is '{includes}'; expected a list, such as [{includes}]")
        merged = module.OmegaConf.create()
        for entry in includes:
            merged = merge(merged, read(find(str(entry), place), (*above, own)))
        return merge(merged, content)

    def find(entry: str, place: str) -> str:
        places = [os.path.join(root, entry) for root in (module.get_mmf_root(), os.path.dirname(place))]
        for found in (*places, module.get_absolute_path(entry)):
            if module.PathManager.exists(found):
                return found
        raise FileNotFoundError(
            f"{place} includes '{entry}', which is not there; looked beside it, in the working directory, in MMF "
            f"and in the configurations of clipbert_mmf"
        )

    module.load_yaml = load_yaml


def write_config_as_yaml(module: Any) -> None:
    """Write ``config.yaml`` without ``config.pretty()``.

    OmegaConf 2.1 removed it, so no run could save its configuration. Remove with the release.
    """
    from omegaconf import DictConfig, OmegaConf

    if hasattr(DictConfig, "pretty"):
        return

    def save_config(self: Any) -> None:
        path, text = (
            os.path.join(self.ckpt_foldername, "config.yaml"),
            OmegaConf.to_yaml(self.config, resolve=True),
        )
        if "://" in path:
            with module.PathManager.open(path, "w") as file:
                file.write(text)
            return
        # A full disk leaves the old file, or none, and not an empty one.
        with open(f"{path}.part", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.part", path)

    module.Checkpoint.save_config = save_config


def name_zoo_entries(module: Any) -> None:
    """Name the entries of the model zoo where a key is none of them.

    MMF fails on OmegaConf's None ("argument of type 'NoneType' is not iterable"). Remove when MMF asks for None.
    """
    download = module.download_pretrained_model

    @functools.wraps(download)
    def download_pretrained_model(model_name: str, *args: Any, **kwargs: Any) -> Any:
        configuration = importlib.import_module("mmf.utils.configuration")
        place = configuration.get_mmf_env(key="model_zoo")
        zoo = configuration.load_yaml(place)
        found: Any = zoo
        for key in model_name.split("."):
            found = found[key] if isinstance(found, Mapping) and key in found else None
        if not isinstance(found, Mapping):
            first = model_name.split(".")[0]
            entries = sorted(f"{first}.{key}" for key in zoo[first]) if first in zoo else sorted(zoo)
            raise ValueError(
                f"model zoo {place} has no '{model_name}'; it has {', '.join(map(str, entries))}. Another file is "
                f"named by MMF_MODEL_ZOO or env.model_zoo"
            )
        return download(model_name, *args, **kwargs)

    module.download_pretrained_model = download_pretrained_model


def copy_local_resources(module: Any) -> None:
    """Copy a zoo's file from this machine where its ``url`` begins with ``file://``.

    MMF asks for it with HTTP, and a cluster without network needs a zoo too. Remove when MMF can.
    """
    download = module.download

    @functools.wraps(download)
    def download_or_copy(
        url: str, path: str, fname: str, redownload: bool = True, *args: Any, **kwargs: Any
    ) -> bool:
        if not url.startswith("file://"):
            return download(url, path, fname, redownload, *args, **kwargs)
        target = Path(path) / fname
        if target.is_file() and not redownload:
            return False
        shutil.copyfile(urllib.request.url2pathname(url.removeprefix("file://")), target)
        return True

    module.download = download_or_copy


def keep_cache_elsewhere(module: Any) -> None:
    """Use a folder for temporary files where the cache, or the data folder in it, cannot be made.

    MMF makes both when it builds a configuration, even for runs that need neither, so that a home that is read-only
    or missing ends every run; and it falls back to its own installation. Remove when MMF makes them once they are
    needed.
    """

    def resolve_cache_dir(env_variable: str = "MMF_CACHE_DIR", default: str = "mmf") -> str:
        torch_home = os.getenv("TORCH_HOME", os.path.join(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch"))
        wanted = os.getenv(env_variable) or os.path.join(os.path.expanduser(torch_home), default)
        return _make_or_replace(wanted, env_variable, default)

    def resolve_dir(env_variable: str, default: str = "data") -> str:
        wanted = os.getenv(env_variable) or os.path.join(resolve_cache_dir(), default)
        return _make_or_replace(wanted, env_variable, os.path.join("mmf", default))

    module.resolve_cache_dir, module.resolve_dir = resolve_cache_dir, resolve_dir


def _make_or_replace(folder: str, env_variable: str, default: str) -> str:
    """Make a folder where it is missing and return it; one for temporary files where it cannot be made."""
    try:
        os.makedirs(folder, exist_ok=True)
        return folder
    except OSError as error:
        other = os.path.join(tempfile.gettempdir(), f"clipbert_mmf_{os.getuid()}", default)
        os.makedirs(other, exist_ok=True)
        if folder not in _replaced:
            _replaced.add(folder)
            logger.warning(
                "%s cannot be made (%s): using %s; set %s", folder, error.strerror, other, env_variable
            )
        return other
