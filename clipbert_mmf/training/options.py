"""Holds the options of a run as frozen dataclasses.

Each field is a key of the configuration, with its default.

Keys that MMF has too keep MMF's defaults. ``plugin.trainer_options`` parses them once, when the trainer is
made.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from clipbert_mmf.configuration import ConfigurationError, InRange

PrecisionName = Literal["fp32", "tf32", "bf16", "fp16"]
#: Arithmetic of sums over processes.
ReductionName = Literal["fp32", "bf16", "fp16"]
#: Whose gradients are clipped: the whole model's, or those of its ``question_embedding_module`` alone.
ClipNormMode = Literal["all", "question"]


@dataclass(frozen=True)
class LoopOptions:
    """Holds the keys of ``training`` that the loops read."""

    device: Literal["cuda", "cpu"] = "cuda"
    seed: int | None = None
    precision: PrecisionName | None = None
    fp16: bool = False
    batch_size: Annotated[int, InRange(at_least=1)] = 512
    batch_size_per_device: Annotated[int, InRange(at_least=1)] | None = None
    update_frequency: Annotated[int, InRange(at_least=1)] = 1
    max_updates: Annotated[int, InRange(at_least=0)] | None = None
    max_epochs: Annotated[float, InRange(at_least=0)] | None = None
    lr_scheduler: bool = False
    clip_gradients: bool = False
    max_grad_l2_norm: Annotated[float, InRange(above=0)] | None = None
    clip_norm_mode: ClipNormMode = "all"
    detect_anomaly: bool = False
    exit_on_nan_losses: bool = True
    cudnn_benchmark: bool = False
    evaluate_metrics: bool = False
    log_interval: Annotated[int, InRange(at_least=0)] | None = 100
    evaluation_interval: Annotated[int, InRange(at_least=0)] | None = 1000
    checkpoint_interval: Annotated[int, InRange(at_least=0)] | None = 1000
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Refuse values that contradict each other."""
        if self.fp16 and self.precision not in (None, "fp16"):
            raise ConfigurationError(
                f"training.fp16=true contradicts training.precision={self.precision}; "
                "set training.precision=fp16 alone"
            )

    @property
    def precision_name(self) -> PrecisionName:
        """The precision of training, evaluation and prediction.

        ``fp16`` alone stands for ``precision=fp16``.
        """
        return self.precision or ("fp16" if self.fp16 else "fp32")

    @property
    def gradient_limit(self) -> float | None:
        """The norm to which gradients are clipped; None for no clipping."""
        return self.max_grad_l2_norm if self.clip_gradients else None


@dataclass(frozen=True)
class FirstStageOptions:
    """Holds the keys of ``training.first_stage``: the contrastive head fitted to the network as it is loaded.

    Attributes:
        epochs: passes over the training split; 0 leaves the stage out.
        texts: each passes over the texts; one and mixed pass over the media, with a random one of the medium's
            texts, or with a random mean of all of them.
        views: readings of each medium whose features are kept; more are worth it where clips or crops are random.
        batch_size: texts, or media, of one step, each against all others.
        lr: learning rate of AdamW, after 5 % of warm-up and falling to 0 by a cosine.
        weight_decay: of AdamW.
        ridge: share of the mean variance that is added to that of every direction before correlations are computed, for
            a linear member of the head.
    """

    epochs: Annotated[int, InRange(at_least=0)] = 0
    texts: Literal["each", "one", "mixed"] = "each"
    views: Annotated[int, InRange(at_least=1)] = 1
    batch_size: Annotated[int, InRange(at_least=2)] = 1000
    lr: Annotated[float, InRange(above=0)] = 1e-3
    weight_decay: Annotated[float, InRange(at_least=0)] = 0.3
    ridge: Annotated[float, InRange(above=0)] = 0.3


@dataclass(frozen=True)
class WorkerOptions:
    """Holds the keys of ``training`` that say how workers read ahead.

    Attributes:
        num_workers: processes that read; MMF makes them.
        persistent_workers: keep training's workers between epochs; else each pass starts them anew, so that
            datasets without shared memory see what ``set_epoch`` changed.
        prefetch_factor: batches each worker reads ahead; None for torch's 2.
        worker_timeout_sec: longest wait for a batch before the run ends with an error; None or 0 for no
            limit.
        worker_start_method: None for the system's.
    """

    num_workers: Annotated[int, InRange(at_least=0)] = 4
    persistent_workers: bool = False
    prefetch_factor: int | None = None
    worker_timeout_sec: float | None = None
    worker_start_method: Literal["fork", "spawn", "forkserver"] | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that are out of range."""
        if (self.worker_timeout_sec or 0) < 0:
            raise ConfigurationError(
                f"training.worker_timeout_sec is {self.worker_timeout_sec:g}; expected at least 0"
            )
        if self.prefetch_factor is not None and self.prefetch_factor < 1:
            raise ConfigurationError(
                f"training.prefetch_factor is {self.prefetch_factor}; expected at least 1, or null for "
                f"torch's own"
            )


@dataclass(frozen=True)
class ParallelOptions:
    """Holds the keys of ``training`` that say how several processes train one model.

    Attributes:
        sharding: state of which each process holds a part: none, the optimizer's, or weights and gradients
            too.
        gradient_reduction: arithmetic in which gradients are summed over processes.
        find_unused_parameters: look in every update for parameters without a gradient; they would be waited
            for.
        static_graph: the same parameters take part in every update, so that torch looks once.
    """

    sharding: Literal["none", "optimizer", "full"] = "none"
    gradient_reduction: ReductionName = "fp32"
    find_unused_parameters: bool = False
    static_graph: bool = False

    def __post_init__(self) -> None:
        """Refuse options that exclude each other."""
        if self.sharding == "full" and (self.find_unused_parameters or self.static_graph):
            raise ConfigurationError(
                "training.sharding=full needs neither training.find_unused_parameters nor "
                "training.static_graph: "
                "parameters without a gradient are left alone; set both to false"
            )


@dataclass(frozen=True)
class EarlyStopOptions:
    """Holds the keys of ``training.early_stop``.

    Attributes:
        enabled: end training after ``patience``; the best state is kept in any case.
        patience: updates without a better value.
        criteria: ``<dataset>/<metric>/<name>``, or a loss; ``val/`` before it is optional.
        minimize: a smaller value is a better one.
    """

    enabled: bool = False
    patience: Annotated[int, InRange(at_least=0)] = 4000
    criteria: str = "total_loss"
    minimize: bool = True


@dataclass(frozen=True)
class WandbOptions:
    """Holds the keys of ``training.wandb``; further ones are arguments of ``wandb.init``.

    Attributes:
        enabled: pass the numbers of the run on to Weights & Biases.
        log_checkpoint: pass every ``current.ckpt`` on too.
    """

    enabled: bool = False
    log_checkpoint: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be logged: checkpoints alone, or anything where the package is missing."""
        if self.log_checkpoint and not self.enabled:
            raise ConfigurationError(
                "training.wandb.log_checkpoint=true needs training.wandb.enabled=true; set both, or neither"
            )
        if self.enabled and importlib.util.find_spec("wandb") is None:
            raise ConfigurationError(
                "training.wandb.enabled=true needs the package wandb; run 'pip install wandb', or set "
                "training.wandb.enabled=false"
            )


@dataclass(frozen=True)
class ResetOptions:
    """Holds the keys of ``checkpoint.reset``: what a loaded checkpoint does not set."""

    all: bool = False
    optimizer: bool = False
    counts: bool = False
    fp16_scaler: bool = False


@dataclass(frozen=True)
class CheckpointOptions:
    """Holds the keys of ``checkpoint`` that the trainer reads.

    MMF's own class reads others.
    """

    resume: bool = False
    resume_file: str | None = None
    resume_zoo: str | None = None
    zoo_config_override: bool = False
    resume_best: bool = False
    resume_pretrained: bool = False
    pretrained_state_mapping: dict[str, str] = field(default_factory=dict)
    max_to_keep: int | None = -1
    reset: ResetOptions = field(default_factory=ResetOptions)

    def __post_init__(self) -> None:
        """Refuse MMF's way of taking a model's configuration from the zoo: the new model has no optimizer."""
        if self.zoo_config_override:
            raise ConfigurationError(
                "checkpoint.zoo_config_override=true replaces the model after its optimizer was made, so that nothing "
                "would be trained; set it to false, and start with config=<config.yaml of the zoo's entry>"
            )

    @property
    def resets_counts(self) -> bool:
        """Tell whether a loaded checkpoint starts a new run."""
        return self.reset.all or self.reset.counts


@dataclass(frozen=True)
class EvaluationOptions:
    """Holds the keys of ``evaluation``.

    Attributes:
        predict: write predictions in place of measuring.
        use_cpu: bring the inputs of metrics to the CPU.
        score_store: folder that keeps retrieval scores of a final evaluation; None keeps none.
        rerank_top_k: candidates of each query that the cross-encoder ranks; None for all pairs, 0 for none: the
            dot product alone ranks.
    """

    predict: bool = False
    use_cpu: bool = False
    score_store: str | None = None
    rerank_top_k: int | None = None


@dataclass(frozen=True)
class MixingOptions:
    """Holds the keys of ``multitasking``: which of several datasets the next batch is from."""

    enabled: bool = True
    type: str = "size_proportional"
    params: dict[str, Any] | None = None


@dataclass(frozen=True)
class DistributedOptions:
    """Holds the keys of ``distributed`` beside MMF's own.

    Attributes:
        timeout_sec: longest wait for another process; None for torch's own. Processes join before there is a
            trainer, so ``host`` reads it.
    """

    timeout_sec: Annotated[float, InRange(above=0)] | None = None


@dataclass(frozen=True)
class RunOptions:
    """Holds every option of a run.

    Attributes:
        run_type: names what to do: ``train``, ``val``, ``test``, joined by ``_``.
        multitasking: None where the configuration has no such section.
        optimizer_params: ``optimizer.params`` as plain values.
    """

    run_type: str = "train"
    loop: LoopOptions = field(default_factory=LoopOptions)
    first_stage: FirstStageOptions = field(default_factory=FirstStageOptions)
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    parallel: ParallelOptions = field(default_factory=ParallelOptions)
    early_stop: EarlyStopOptions = field(default_factory=EarlyStopOptions)
    wandb: WandbOptions = field(default_factory=WandbOptions)
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    multitasking: MixingOptions | None = None
    distributed: DistributedOptions = field(default_factory=DistributedOptions)
    optimizer_params: dict[str, Any] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Tell whether the run trains."""
        return "train" in self.run_type


#: Section of the configuration -> the dataclasses that hold what the trainer reads of it.
SECTIONS: dict[str, tuple[type, ...]] = {
    "training": (LoopOptions, WorkerOptions, ParallelOptions),
    "training.first_stage": (FirstStageOptions,),
    "training.early_stop": (EarlyStopOptions,),
    "checkpoint": (CheckpointOptions,),
    "checkpoint.reset": (ResetOptions,),
    "evaluation": (EvaluationOptions,),
    "multitasking": (MixingOptions,),
    "distributed": (DistributedOptions,),
}
