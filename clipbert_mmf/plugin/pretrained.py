"""Loads the network of ``Model.from_pretrained``: of a run, a checkpoint, a saved folder or the model zoo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmf.utils.download import download_pretrained_model

from clipbert_mmf.inference.network_files import load_network
from clipbert_mmf.inference.recipe import parse_run_model, read_recipe
from clipbert_mmf.inference.sources import is_saved_folder, read_run
from clipbert_mmf.models.config import HeadConfig, ModelConfig, WeightsConfig
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.heads import find_head
from clipbert_mmf.weights.files import WeightsFile, read_weights

#: Endings of checkpoints, as MMF has them.
_CHECKPOINT_ENDINGS = (".ckpt", ".pth", ".pt")


def load_pretrained(location: str | Path) -> tuple[ModelConfig, ClipBertNetwork]:
    """Return the configuration and the network of a trained model, without the files that its run started from.

    Args:
        location: the folder of a run, one of its checkpoints, a folder of ``save_pretrained``, or a key of the
            model zoo such as ``clipbert.msrvtt``.

    Raises:
        FileNotFoundError: if there is no such path, and it is no key of the model zoo.
        RecipeError: if it holds no configuration of a ClipBERT.
        WeightsFileError: if its weights are damaged, or of another network than configured.
    """
    path = Path(location).expanduser()
    if not path.exists():
        path = _find_in_zoo(str(location))
    if is_saved_folder(path):
        config, file = read_recipe(path).model, read_weights(path)
    else:
        run = read_run(path)
        config, file = (
            _complete(parse_run_model(run.config, run.config_place), run.checkpoint),
            run.checkpoint,
        )
    return config, load_network(config, file)


def _find_in_zoo(name: str) -> Path:
    """Return the one checkpoint of an entry of the model zoo, downloaded where it is not there yet."""
    if name.split(".")[0] != "clipbert" or Path(name).suffix in _CHECKPOINT_ENDINGS or "/" in name:
        raise FileNotFoundError(
            f"model '{name}': no such file or folder. Give the folder of a run, one of its checkpoints, or a key of "
            f"the model zoo (MMF_MODEL_ZOO) that begins with 'clipbert.'"
        )
    folder = Path(download_pretrained_model(name))
    found = sorted(path for path in folder.glob("*") if path.suffix in _CHECKPOINT_ENDINGS)
    if is_saved_folder(folder):
        return folder
    if len(found) != 1:
        raise FileNotFoundError(
            f"model '{name}' of the zoo: {folder} has {len(found)} checkpoints; an entry has one, beside the "
            f"config.yaml of its run"
        )
    return found[0]


def _complete(config: ModelConfig, file: WeightsFile) -> ModelConfig:
    """Return the configuration with the number of answers of each head, and without the run's own start files."""

    def complete(head: HeadConfig, place: str) -> HeadConfig:
        if find_head(head.type).num_outputs is not None or head.num_answers:
            return head
        ending = f"{place}.output.bias"
        sizes = [len(value) for name, value in file.tensors.items() if f".{name}".endswith(f".{ending}")]
        return replace(head, num_answers=sizes[0]) if sizes else head

    heads = {name: complete(head, f"head.{head.shares or name}") for name, head in config.heads.items()}
    return replace(config, head=complete(config.head, "head"), heads=heads, weights=WeightsConfig())
