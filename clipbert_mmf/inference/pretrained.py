"""``ClipBert.from_pretrained``: a trained model by folder, checkpoint or hub name, with what it needs for its input.

After ``sources`` and ``recipe``. Nothing here knows MMF: a model trained there runs where it is not installed.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Sequence

import torch
from safetensors.torch import save_file
from torch import Tensor

from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.recipe import CONFIG_FILE, Recipe, read_recipe, recipe_of_run, write_recipe
from clipbert_mmf.inference.settings import RecipeError
from clipbert_mmf.inference.sources import find_model, is_saved_folder, read_run
from clipbert_mmf.models.assembly import assemble_network
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.transforms.tokens import encode_texts, load_tokenizer
from clipbert_mmf.weights.files import WeightsFile, WeightsFileError, read_weights
from clipbert_mmf.weights.formats import detect_format
from clipbert_mmf.weights.loading import load_file, match_tensors, name_ours

WEIGHTS_FILE = "model.safetensors"


class ClipBert:
    """A trained model: network, preprocessing, tokenizer, answers.

    Args:
        network: in evaluation mode from here on.
        recipe: what it needs beside its weights.
    """

    def __init__(self, network: ClipBertNetwork, recipe: Recipe):
        self.network = network.eval()
        self.recipe = recipe

    @classmethod
    def from_pretrained(
        cls,
        location: str | Path,
        *,
        device: str | torch.device = "cpu",
        config: str | Path | None = None,
        dataset: str | None = None,
        answers: str | Path | None = None,
        tokenizer: str | Path | None = None,
        revision: str | None = None,
    ) -> ClipBert:
        """Load a model with the very numbers that were saved.

        Args:
            location: a folder of ``save_pretrained`` or ``tools/convert_weights.py``, the folder of a run or one of its
                checkpoints, or a name on the Hugging Face hub.
            device: where the network goes.
            config: a run's ``config.yaml``, for a checkpoint that lies alone.
            dataset: whose preprocessing to use, for a run over several.
            answers, tokenizer: files of the run, where they are not at their configured places any more.
            revision: branch, tag or commit on the hub.
        Raises:
            FileNotFoundError: if there is no such model.
            RecipeError: if its description is missing or damaged.
            WeightsFileError: if its weights are damaged, or of another network than described.
        """
        path = find_model(location, revision)
        if is_saved_folder(path):
            recipe, file = read_recipe(path), read_weights(path)
        else:
            run = read_run(path, config)
            file = run.checkpoint
            recipe = recipe_of_run(
                run.config, run.config_place, folder=run.folder, num_answers=_count_outputs(file), dataset=dataset,
                answers=answers,
            )
        if tokenizer:
            recipe = replace(recipe, tokenizer=str(tokenizer))
        return cls(build_network(recipe, file).to(device), recipe)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that ``from_pretrained`` reads back bit for bit; files of the same names are replaced.

        Raises:
            RecipeError: if the answers of a classifying head are not known.
            ValueError: if the tokenizer cannot be found.
        """
        self.recipe.require_answers()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = self.tokenizer
        # What the last call cut and padded to would be saved with it.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.save_pretrained(folder)
        write_recipe(self.recipe, folder)
        weights = folder / WEIGHTS_FILE
        # One entry of metadata: safetensors writes several in any order, and the same model shall be the same file.
        save_file(distinct_tensors(self.network), weights, {"format": "pt"})
        # safetensors writes for the owner's eyes only; the weights are as public as the folder.
        shutil.copymode(folder / CONFIG_FILE, weights)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.text_embedding.words.weight.device

    @property
    def preprocessing(self) -> Preprocessing:
        """How videos and texts are read."""
        return self.recipe.preprocessing

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer vocabulary by index; empty where the head has none."""
        return self.recipe.answers

    @property
    def tokenizer(self):
        """The Hugging Face tokenizer, loaded when first asked for."""
        tokenizer = load_tokenizer(self.recipe.tokenizer)
        rows = self.network.text_embedding.words.num_embeddings
        if len(tokenizer) > rows:
            raise RecipeError(
                f"tokenizer '{self.recipe.tokenizer}' has {len(tokenizer)} words and the model {rows}: it is another "
                f"one than the model was trained with"
            )
        return tokenizer

    def encode_texts(self, texts: Sequence[str]) -> TokenBatch:
        """Return N texts as ``(N, L)`` tokens, cut and padded as in training."""
        return encode_texts(self.tokenizer, list(texts), self.preprocessing.max_text_tokens)

    @torch.inference_mode()
    def score_frames(self, frames: Tensor, texts: Sequence[str]) -> Tensor:
        """Score every text against every video.

        Args:
            frames: ``(B, K, T, 3, L, L)`` uint8 RGB, each video as ``preprocessing.read`` gives it.
            texts: N of them.
        Returns:
            ``(B, N, A)`` float32 on the CPU, clips folded, before any softmax; ``(B, N)`` for multiple choice.
        """
        tokens = [x.expand(len(frames), *x.shape).to(self.device) for x in self.encode_texts(texts)]
        scores = self.network(frames.to(self.device), *tokens)["scores"]
        return scores.unflatten(0, (len(frames), len(texts))).cpu() if not self.network.group_options else scores.cpu()


def _count_outputs(file: WeightsFile) -> int | None:
    names = ("head.output.bias", "classifier.2.bias")
    return next((len(value) for name, value in file.tensors.items() if name.endswith(names)), None)


def build_network(recipe: Recipe, file: WeightsFile) -> ClipBertNetwork:
    """Build a described network with a file's weights, all of them and nothing else.

    Raises:
        WeightsFileError: if the file is not of this network.
    """
    # Compared before memory is taken: a description from elsewhere may ask for any size.
    with torch.device("meta"):
        sketch = assemble_network(recipe.model)
    _require_all(sketch, file)
    with torch.random.fork_rng(devices=[]):
        network = assemble_network(recipe.model)
    load_file(network, _with_shared(network, file), strict=True)
    return network


def _require_all(sketch: ClipBertNetwork, file: WeightsFile) -> None:
    found = detect_format(file.tensors)
    if found is None or found[0] not in ("clipbert_mmf", "clipbert"):
        raise WeightsFileError(f"{file.path} is not a ClipBERT; its names are such as {sorted(file.tensors)[:4]}")
    row, names = name_ours(sketch, file, "clipbert")
    report, _ = match_tensors(sketch, _with_shared(sketch, file), row, names, "clipbert")
    if not report.is_complete:
        raise WeightsFileError(f"{file.path} is not of the network that its configuration describes\n{report}")


def _with_shared(network: ClipBertNetwork, file: WeightsFile) -> WeightsFile:
    """Give tensors that were saved once, for two modules share them, their second name again."""
    missing = {
        second: first for second, first in shared_names(network).items()
        if second not in file.tensors and first in file.tensors
    }
    if missing:
        file.tensors = {**file.tensors, **{second: file.tensors[first] for second, first in missing.items()}}
    return file


def shared_names(network: ClipBertNetwork) -> dict[str, str]:
    """Return the second name of each parameter that two modules share -> its first."""
    first: dict[int, str] = {}
    shared = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            shared[name] = first[id(parameter)]
        else:
            first[id(parameter)] = name
    return shared


def distinct_tensors(network: ClipBertNetwork) -> dict[str, Tensor]:
    """Return the network's state with each shared tensor once, on the CPU, as safetensors wants it."""
    shared = shared_names(network)
    state = network.state_dict()
    return {name: value.detach().cpu().contiguous() for name, value in state.items() if name not in shared}
