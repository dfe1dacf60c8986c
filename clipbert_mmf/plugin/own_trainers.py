"""Checks at start what MMF's own trainers cannot do with a run of ours, so that no option is ignored without a word.

``base_trainer`` of the release, ``mmf`` and ``lightning`` of main.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.host.mmf_version import MmfVersion, mmf_version

# As a module: importing it first imports this one on the way.
from clipbert_mmf.plugin import model as plugin_model
from clipbert_mmf.plugin.old_names import refuse_old_names
from clipbert_mmf.plugin.trainer_options import parse_run_options
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.training.options import RunOptions
from clipbert_mmf.training.resuming import continue_schedule, use_current_groups

logger = logging.getLogger(__name__)

_BOTH: tuple[MmfVersion, ...] = ("release", "main")
_RELEASE: tuple[MmfVersion, ...] = ("release",)
_MAIN: tuple[MmfVersion, ...] = ("main",)


@dataclass(frozen=True)
class Setting:
    """What a check looks at.

    Attributes:
        options: of the run.
        datasets: names of the run's datasets, in order.
        is_joined: the process was started as one of several, or by a launcher.
        has_gpu: PyTorch sees a GPU.
    """

    options: RunOptions
    datasets: list[str]
    is_joined: bool
    has_gpu: bool

    @property
    def goes_on(self) -> bool:
        """Tell whether the run loads a checkpoint of another run, or its own."""
        kept = self.options.checkpoint
        return kept.resume or kept.resume_file is not None or kept.resume_zoo is not None

    @property
    def measures(self) -> bool:
        """Tell whether the run computes metrics: a run that trains validates too."""
        return self.options.trains or not self.options.evaluation.predict


@dataclass(frozen=True)
class Limit:
    """Something that MMF's own trainer does not do as configured.

    Attributes:
        versions: versions of MMF whose trainer has the limit.
        applies: whether a run asks for it.
        message: key and reason.
        instead: what to type to keep MMF's own trainer.
    """

    versions: tuple[MmfVersion, ...]
    applies: Callable[[Setting], Any]
    message: str
    instead: str


#: A run that asks for one of these is refused: it would compute something else than configured, or fail later.
LIMITS = (
    Limit(
        _BOTH,
        lambda run: run.options.loop.precision not in (None, "fp32"),
        "training.precision: it computes in fp32",
        "training.precision=fp32",
    ),
    Limit(
        _RELEASE,
        lambda run: run.options.loop.fp16,
        "training.fp16: it computes in fp32",
        "training.fp16=false",
    ),
    Limit(
        _MAIN,
        lambda run: run.options.loop.fp16 and not run.has_gpu,
        "training.fp16: needs a GPU",
        "training.fp16=false",
    ),
    Limit(
        _RELEASE,
        lambda run: run.options.loop.update_frequency > 1,
        "training.update_frequency: it makes a step after every batch",
        "training.update_frequency=1",
    ),
    Limit(
        _MAIN,
        lambda run: run.options.loop.update_frequency > 1,
        "training.update_frequency: it divides a loss by 0 at the end of an epoch",
        "training.update_frequency=1",
    ),
    Limit(
        _RELEASE,
        lambda run: run.options.loop.batch_size_per_device is not None,
        "training.batch_size_per_device: it reads training.batch_size",
        "training.batch_size_per_device=null",
    ),
    Limit(
        _RELEASE,
        lambda run: run.options.trains and run.options.loop.max_epochs is not None,
        "training.max_epochs: it fails at its first message",
        "training.max_epochs=null training.max_updates=<updates>",
    ),
    Limit(
        _BOTH,
        lambda run: (
            run.options.trains and not run.options.loop.max_updates and not run.options.loop.max_epochs
        ),
        "training.max_updates: it needs the length of the run",
        "training.max_updates=<updates>",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.trains and not run.options.loop.log_interval,
        "training.log_interval: it divides by it",
        "training.log_interval=1000000",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.trains and not run.options.loop.evaluation_interval,
        "training.evaluation_interval: it divides by it",
        "training.evaluation_interval=1000000",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.trains and not run.options.loop.checkpoint_interval,
        "training.checkpoint_interval: it divides by it",
        "training.checkpoint_interval=1000000",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.parallel.sharding != "none",
        "training.sharding: every process holds everything",
        "training.sharding=none",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.parallel.gradient_reduction != "fp32",
        "training.gradient_reduction: it sums in fp32",
        "training.gradient_reduction=fp32",
    ),
    Limit(
        _BOTH,
        lambda run: run.is_joined and not run.has_gpu,
        "several processes: they need a GPU each",
        "one process, without torchrun, srun or distributed.world_size",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.loop.device == "cpu" and run.has_gpu,
        "training.device: it takes the GPU where there is one",
        "training.device=cuda, or CUDA_VISIBLE_DEVICES= before the command",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.evaluation.rerank_top_k is not None,
        "evaluation.rerank_top_k: it scores all pairs",
        "evaluation.rerank_top_k=null",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.evaluation.score_store is not None,
        "evaluation.score_store: it keeps no scores",
        "evaluation.score_store=null",
    ),
    Limit(
        _RELEASE,
        lambda run: len(run.datasets) > 1 and run.measures,
        "several datasets: it measures all of them as if they were one",
        "one dataset=<name>",
    ),
    Limit(
        _MAIN,
        lambda run: (
            len(run.datasets) > 1
            and run.options.multitasking is not None
            and run.options.multitasking.type == "ratios"
            and list((run.options.multitasking.params or {}).get("sampling_ratios", {})) != run.datasets
        ),
        "multitasking.params.sampling_ratios: it gives them to the datasets in the order they are written",
        "sampling_ratios in the order of dataset=",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.loop.clip_norm_mode != "all",
        "training.clip_norm_mode: it clips the whole model's gradients only",
        "training.clip_norm_mode=all",
    ),
    Limit(
        _RELEASE,
        lambda run: run.options.wandb.enabled,
        "training.wandb: it knows TensorBoard only",
        "training.wandb.enabled=false training.tensorboard=true",
    ),
    Limit(
        _BOTH,
        lambda run: run.options.checkpoint.resume_best and not run.options.checkpoint.resume,
        "checkpoint.resume_best: it reads it together with checkpoint.resume only",
        "checkpoint.resume=true",
    ),
    Limit(
        _BOTH,
        lambda run: (
            run.options.trains
            and run.goes_on
            and run.options.checkpoint.resume_pretrained
            and not run.options.checkpoint.pretrained_state_mapping
        ),
        "checkpoint.resume_pretrained without checkpoint.pretrained_state_mapping: it goes on with the other run's "
        "counters, and ends at once where that run was complete",
        "model_config.clipbert.weights.clipbert=<checkpoint> checkpoint.resume_file=null",
    ),
    Limit(
        _RELEASE,
        lambda run: run.options.trains and run.goes_on and run.options.checkpoint.resets_counts,
        "checkpoint.reset: it keeps the best value of the other run, so that best.ckpt is written too late or never",
        "model_config.clipbert.weights.clipbert=<checkpoint> checkpoint.resume_file=null",
    ),
    Limit(
        _MAIN,
        lambda run: run.options.checkpoint.max_to_keep is None,
        "checkpoint.max_to_keep: it compares it with 0",
        "checkpoint.max_to_keep=-1",
    ),
)

#: Keys that it leaves alone and that change no number: (key, value of a run, value that asks for nothing, versions).
_UNREAD: tuple[tuple[str, Callable[[RunOptions], Any], Any, tuple[MmfVersion, ...]], ...] = (
    ("checkpoint.max_to_keep", lambda run: run.checkpoint.max_to_keep, -1, _RELEASE),
    ("evaluation.use_cpu", lambda run: run.evaluation.use_cpu, False, _RELEASE),
    ("training.cudnn_benchmark", lambda run: run.loop.cudnn_benchmark, False, _RELEASE),
    ("training.persistent_workers", lambda run: run.workers.persistent_workers, False, _RELEASE),
    ("training.prefetch_factor", lambda run: run.workers.prefetch_factor, None, _BOTH),
    ("training.worker_timeout_sec", lambda run: run.workers.worker_timeout_sec or None, None, _BOTH),
    ("training.worker_start_method", lambda run: run.workers.worker_start_method, None, _BOTH),
    ("training.static_graph", lambda run: run.parallel.static_graph, False, _BOTH),
)


def check_own_trainer(config: Any) -> None:
    """Refuse a run of our model or datasets that one of MMF's own trainers would not do as configured.

    Keys that it leaves alone and that change no number are named in the log. Runs that have nothing of ours pass.

    Args:
        config: MMF's whole configuration.

    Raises:
        ConfigurationError: lists every such key with the reason and what to type; also for unknown keys.
    """
    datasets = plugin_model.list_datasets(config)
    if config["model"] != "clipbert" and not any(name in SPECS for name in datasets):
        return
    refuse_old_names(config)
    options = parse_run_options(config)
    setting = Setting(
        options,
        datasets,
        is_joined=config["distributed"]["init_method"] is not None,
        has_gpu=torch.cuda.is_available(),
    )
    trainer, version = config["training"]["trainer"], mmf_version()
    found = [limit for limit in LIMITS if version in limit.versions and limit.applies(setting)]
    if found:
        raise ConfigurationError(
            f"training.trainer={trainer} is MMF's own trainer, which cannot do this run as configured. "
            f"{'; '.join(limit.message for limit in found)}. Write training.trainer=clipbert, which does all of it, "
            f"or {' '.join(limit.instead for limit in found)}"
        )
    unread = [
        f"{key}={value(options)}"
        for key, value, neutral, versions in _UNREAD
        if version in versions and value(options) != neutral
    ]
    if unread:
        logger.warning(
            "training.trainer=%s is MMF's own trainer and does not read %s", trainer, ", ".join(unread)
        )


def follow_present_settings(optimizer: Optimizer) -> None:
    """Make a loaded state follow the present learning rates and weight decay, as ``training.trainer=clipbert`` does.

    MMF's own trainers would bring back the old ones without a word.

    Args:
        optimizer: has no state yet.
    """
    for group in optimizer.param_groups:
        group.setdefault(
            "initial_lr", group["lr"]
        )  # the release makes its schedule after it has loaded the state
    load = optimizer.load_state_dict
    vars(optimizer)["load_state_dict"] = lambda state: load(use_current_groups(state, optimizer))


@contextmanager
def follow_present_schedule(scheduler: Any) -> Generator[None]:
    """Keep the learning rates of a schedule while its place in the run is loaded.

    Args:
        scheduler: MMF's main stores the state of one, old rates included; None where there is none.
    """
    rates = list(scheduler.base_lrs) if isinstance(scheduler, LambdaLR) else []
    yield
    if isinstance(scheduler, LambdaLR) and scheduler.last_epoch > 0:
        scheduler.base_lrs = rates
        continue_schedule(scheduler, None, None, scheduler.last_epoch, is_changed=True)
