"""Lets MMF's ``Checkpoint`` find and open files, and the run's ``Checkpointer`` save and restore."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmf.utils.checkpoint import Checkpoint
from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.config import ModelConfig
from clipbert_mmf.plugin.run_folder import find_run_folder, read_overwrite
from clipbert_mmf.plugin.trained_model import find_run_model
from clipbert_mmf.training.checkpoints import Checkpointer
from clipbert_mmf.training.distributed import get_rank, unwrap_model
from clipbert_mmf.training.host import Host
from clipbert_mmf.training.run import Run
from clipbert_mmf.training.sharding import is_fully_sharded
from clipbert_mmf.weights.files import read_checkpoint
from clipbert_mmf.weights.trained_with import KEY as TRAINED_WITH
from clipbert_mmf.weights.trained_with import read_trained_with
from clipbert_mmf.writing import write_text_atomically

logger = logging.getLogger(__name__)


class RunCheckpoint(Checkpoint):
    """Finds what ``checkpoint.*`` names, as MMF does.

    Args:
        trainer: MMF's.
        run: is saved and restored.
        host: gives the checkpointer what it keeps of MMF.
    """

    def __init__(self, trainer: Any, run: Run, host: Host) -> None:
        self.run = run
        super().__init__(trainer)
        with suppress(OSError):  # MMF makes it for every run; an evaluation has no use for it
            os.rmdir(self.models_foldername)
        # An evaluation writes into a folder of its own, and reads the checkpoints of the run's.
        folder = find_run_folder(self.config)
        self.ckpt_foldername = str(folder)
        if str(folder) != self.save_dir:
            logger.info(
                "%s is the folder of a run; this evaluation of it writes into %s", folder, self.save_dir
            )
        self.checkpointer = Checkpointer(
            run,
            host,
            folder,
            self.ckpt_prefix,
            Path(self.pth_filepath),
            overwrite=bool(read_overwrite(self.config)),
        )

    def describe(self) -> dict[str, Any]:
        """Return the configuration and, if the options say so, the state of the code."""
        settings = getattr(unwrap_model(self.trainer.model), "settings", None)
        trained_with = find_run_model(self.config).describe(
            settings if isinstance(settings, ModelConfig) else None
        )
        git = self._get_vcs_fields() if self.git_repo else {}
        return {"config": self._describe_config(), TRAINED_WITH: trained_with.to_dict(), **git}

    def _describe_config(self) -> dict[str, Any]:
        config: Any = OmegaConf.to_container(self.config, resolve=True)
        # Said for one run: who trains with this run's configuration does not delete one with it.
        if "overwrite" in config["env"]:
            config["env"]["overwrite"] = False
        return config

    def save_config(self) -> None:
        """Do nothing: ``write_config`` follows when the run begins; one that fails before leaves the old file."""

    def write_config(self) -> None:
        """Write ``config.yaml``, from one process."""
        if get_rank() == 0:
            text = OmegaConf.to_yaml(OmegaConf.create(self._describe_config()))
            write_text_atomically(text, Path(self.save_dir) / "config.yaml")

    def save(self, update: int, iteration: int | None = None, update_best: bool = False) -> None:
        """Save the run as it is; callbacks of users call it as MMF's."""
        self.checkpointer.save(is_best=update_best)

    def restore(self) -> None:
        """Load the weights of the best state."""
        self.checkpointer.restore_best()

    def finalize(self) -> None:
        """Write the weights alone."""
        self.checkpointer.write_weights()

    def _torch_load(self, file: Any) -> Any:
        """Read a file without running code that it may hold, whatever PyTorch's default is."""
        return read_checkpoint(file) if Path(file).is_file() else super()._torch_load(file)

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
        weights = self.upgrade_state_dict(state.get("model", state.get("state_dict", state)))
        self.run.loaded_file = None if load_zoo else Path(file).resolve()
        weights_only = load_pretrained and not force
        fit_weights = getattr(unwrap_model(self.trainer.model), "fit_weights", None)
        if fit_weights is not None and (weights_only or self.checkpointer.options.resets_counts):
            weights = fit_weights(weights, read_trained_with(state), str(file))
        self.checkpointer.load(state, weights, str(file), weights_only=weights_only)
