"""Lets MMF's ``Checkpoint`` find and open files, and the run's ``Checkpointer`` save and restore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmf.utils.checkpoint import Checkpoint
from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.config import ModelConfig
from clipbert_mmf.plugin.trained_model import find_run_model
from clipbert_mmf.training.checkpoints import Checkpointer
from clipbert_mmf.training.distributed import get_rank, unwrap_model
from clipbert_mmf.training.host import Host
from clipbert_mmf.training.run import Run
from clipbert_mmf.training.sharding import is_fully_sharded
from clipbert_mmf.weights.trained_with import KEY as TRAINED_WITH


class RunCheckpoint(Checkpoint):
    """Finds what ``checkpoint.*`` names, as MMF does.

    Args:
        trainer: MMF's.
        run: is saved and restored.
        host: gives the checkpointer what it keeps of MMF.
    """

    def __init__(self, trainer: Any, run: Run, host: Host) -> None:
        super().__init__(trainer)
        self.checkpointer = Checkpointer(
            run, host, Path(self.ckpt_foldername), self.ckpt_prefix, Path(self.pth_filepath)
        )

    def describe(self) -> dict[str, Any]:
        """Return the configuration and, if the options say so, the state of the code."""
        config = OmegaConf.to_container(self.config, resolve=True)
        settings = getattr(unwrap_model(self.trainer.model), "settings", None)
        trained_with = find_run_model(self.config).describe(
            settings if isinstance(settings, ModelConfig) else None
        )
        git = self._get_vcs_fields() if self.git_repo else {}
        return {"config": config, TRAINED_WITH: trained_with.to_dict(), **git}

    def save_config(self) -> None:
        """Write ``config.yaml``, from one process."""
        if get_rank() == 0:
            super().save_config()

    def save(self, update: int, iteration: int | None = None, update_best: bool = False) -> None:
        """Save the run as it is; callbacks of users call it as MMF's."""
        self.checkpointer.save(is_best=update_best)

    def restore(self) -> None:
        """Load the weights of the best state."""
        self.checkpointer.restore_best()

    def finalize(self) -> None:
        """Write the weights alone."""
        self.checkpointer.write_weights()

    def _load(
        self, file: str, force: bool = False, load_zoo: bool = False, load_pretrained: bool = False
    ) -> None:
        """Load a file that MMF found.

        ``resume_pretrained`` without a mapping means weights only: MMF would take the other run's counters
        too, and stop at once if that run was complete. With a mapping, MMF copies the weights it names.
        """
        if load_pretrained and self.config.checkpoint.pretrained_state_mapping and not force:
            if is_fully_sharded(self.trainer.model):
                raise ConfigurationError(
                    "checkpoint.pretrained_state_mapping copies into whole weights, and "
                    "training.sharding=full splits "
                    "them; use training.sharding=optimizer"
                )
            super()._load(file, force=force, load_zoo=load_zoo, load_pretrained=load_pretrained)
            return
        if load_zoo:
            state, goes_on = self._load_from_zoo(file)
            if not goes_on or state is None:
                return
        else:
            state = self._torch_load(file)
        # Weights alone, as Lightning's trainer and ours write them, have no section of their own.
        weights = state.get("model", state.get("state_dict", state))
        self.checkpointer.load(
            state, self.upgrade_state_dict(weights), str(file), weights_only=load_pretrained and not force
        )
