"""Passes the numbers and checkpoints of a run on to Weights & Biases, which MMF's release cannot; its main can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Keys of ``training.wandb`` that are no arguments of ``wandb.init``.
_OWN_KEYS = ("enabled", "log_checkpoint")


class WandbLogger:
    """Starts a run on Weights & Biases, named and configured as MMF's main does it.

    Args:
        config: the whole configuration of the run, as plain values.
        folder: where wandb keeps its files.

    Raises:
        ImportError: if wandb is not installed.
    """

    def __init__(self, config: Mapping[str, Any], folder: str) -> None:
        import wandb  # pyright: ignore[reportMissingImports]  # optional

        self._wandb: Any = wandb
        section = {key: value for key, value in config["training"]["wandb"].items() if key not in _OWN_KEYS}
        if wandb.run is None:
            wandb.init(**{"config": config, "dir": folder, **section})
        wandb.define_metric("trainer/global_step")
        wandb.define_metric("*", step_metric="trainer/global_step", step_sync=True)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log numbers by name; ``trainer/global_step`` among them is the update."""
        self._wandb.log(dict(metrics))

    def log_model_checkpoint(self, path: str) -> None:
        """Log a file as the newest version of the artifact ``run_<id>_model``."""
        artifact = self._wandb.Artifact(f"run_{self._wandb.run.id}_model", type="model")
        artifact.add_file(path, name="current.pt")
        self._wandb.log_artifact(artifact, aliases=["latest"])

    def close(self) -> None:
        """End the run on Weights & Biases."""
        self._wandb.finish()
