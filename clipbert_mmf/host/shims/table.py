"""Lists every compatibility patch with the modules of MMF it changes and the versions of MMF that need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clipbert_mmf.host.mmf_version import MmfVersion, mmf_version
from clipbert_mmf.host.shims import (
    config,
    data,
    distributed,
    encoders,
    messages,
    models,
    scoring,
    startup,
    trainers,
)

RELEASE: tuple[MmfVersion, ...] = ("release",)
MAIN: tuple[MmfVersion, ...] = ("main",)
BOTH: tuple[MmfVersion, ...] = ("release", "main")

Patch = Callable[[Any], None]
SourceEdit = Callable[[str], str]


@dataclass(frozen=True)
class Shim:
    """One compatibility patch.

    Attributes:
        versions: versions of MMF that need it.
        modules: modules of MMF it is applied to, each when it has run.
        patch: gets the module and changes it.
    """

    versions: tuple[MmfVersion, ...]
    modules: tuple[str, ...]
    patch: Patch


@dataclass(frozen=True)
class SourceShim:
    """One compatibility patch of a module's source, for a mistake inside a long function.

    Attributes:
        versions: versions of MMF that need it.
        modules: modules of MMF it is applied to, each before it runs.
        edit: gets the source and returns the changed one.
    """

    versions: tuple[MmfVersion, ...]
    modules: tuple[str, ...]
    edit: SourceEdit


#: Patches of one module are applied in this order.
SHIMS = (
    Shim(BOTH, ("mmf.utils",), messages.quiet_warnings),
    Shim(MAIN, ("mmf.utils.patch",), startup.skip_importing_all_transformers),
    Shim(
        BOTH,
        ("mmf.common.registry", "mmf.models", "mmf.modules", "mmf.utils.env"),
        startup.import_models_late,
    ),
    Shim(RELEASE, ("mmf.utils.env",), startup.import_from_any_directory),
    Shim(BOTH, ("mmf.utils.env",), startup.find_user_dir),
    Shim(BOTH, ("mmf.utils.build",), startup.settle_run_folder),
    Shim(BOTH, ("mmf.utils.distributed",), distributed.count_processes_without_nccl),
    Shim(BOTH, ("mmf.utils.distributed",), distributed.join_with_any_backend),
    Shim(BOTH, ("mmf.utils.distributed",), distributed.start_with_any_device),
    Shim(BOTH, ("mmf.utils.general",), config.find_our_configs),
    Shim(BOTH, ("mmf.utils.configuration",), config.find_included_files),
    Shim(BOTH, ("mmf.utils.configuration",), config.keep_cache_elsewhere),
    Shim(RELEASE, ("mmf.utils.configuration",), config.accept_missing_learning_rate),
    Shim(BOTH, ("mmf.utils.configuration",), config.register_env_resolver),
    Shim(BOTH, ("mmf.utils.configuration",), config.read_options_as_yaml),
    Shim(BOTH, ("mmf.utils.configuration",), config.check_configurations),
    Shim(RELEASE, ("mmf.utils.logger",), messages.use_current_collections),
    Shim(RELEASE, ("mmf.utils.logger",), messages.show_plugin_messages),
    Shim(MAIN, ("mmf.utils.logger",), messages.give_wandb_plain_values),
    Shim(BOTH, ("mmf.utils.download",), config.name_zoo_entries),
    Shim(BOTH, ("mmf.utils.download",), config.copy_local_resources),
    Shim(RELEASE, ("mmf.utils.checkpoint",), config.write_config_as_yaml),
    Shim(RELEASE, ("mmf.datasets.multi_dataset_loader",), data.restart_dataset_iterators),
    Shim(RELEASE, ("mmf.datasets.base_dataset_builder",), data.let_builders_skip_the_registry),
    Shim(RELEASE, ("mmf.modules.encoders",), encoders.offer_smaller_resnets),
    Shim(RELEASE, ("mmf.modules.metrics",), scoring.keep_metric_params),
    Shim(RELEASE, ("mmf.modules.metrics",), scoring.accept_mappings_of_metrics),
    Shim(RELEASE, ("mmf.common.report",), scoring.accumulate_present_fields),
    Shim(RELEASE, ("mmf.modules.losses",), scoring.keep_losses_to_their_datasets),
    Shim(BOTH, ("mmf.utils.build",), trainers.name_known_trainers),
    Shim(BOTH, ("mmf.utils.early_stopping",), trainers.watch_validation),
    Shim(BOTH, ("mmf.utils.early_stopping",), trainers.keep_patience),
    Shim(BOTH, ("mmf.utils.flags",), distributed.accept_dashed_local_rank),
    Shim(MAIN, ("mmf.modules.hf_layers",), models.leave_transformers_alone),
    Shim(MAIN, ("mmf.models.unimodal", "mmf.models.fusions"), models.return_tuples_from_text_encoders),
    Shim(BOTH, ("mmf.models.visual_bert", "mmf.models.vilbert"), models.load_without_post_init),
)
SOURCE_SHIMS = (
    SourceShim(
        RELEASE,
        ("mmf.modules.embeddings", "mmf.models.visual_bert", "mmf.models.vilbert"),
        models.stay_on_cpu,
    ),
    SourceShim(RELEASE, ("mmf.models.unimodal",), models.tell_batches_from_tuples),
    SourceShim(
        BOTH,
        (
            "mmf.utils.checkpoint",
            "mmf.modules.encoders",
            "mmf.models.albef.vit",
            "mmf.models.krisp",
            "mmf.models.unit.unit",
        ),
        models.load_without_running_code,
    ),
)


def find_shims(module: str) -> list[Patch]:
    """Return the patches to apply when a module of MMF has run, in order."""
    return [shim.patch for shim in SHIMS if module in shim.modules and mmf_version() in shim.versions]


def find_source_edits(module: str) -> list[SourceEdit]:
    """Return the edits to make to the source of a module of MMF, in order."""
    return [shim.edit for shim in SOURCE_SHIMS if module in shim.modules and mmf_version() in shim.versions]
