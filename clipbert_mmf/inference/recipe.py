"""Everything a trained network needs beside its weights, taken from its run or from a saved folder.

After ``settings`` and ``preprocessing``, before ``pretrained``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import clipbert_mmf
from clipbert_mmf.annotations.sources import find_file
from clipbert_mmf.annotations.vocabulary import read_vocabulary
from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.settings import RecipeError, merge, read_model_settings, select
from clipbert_mmf.modules.backbones.grid_resnet import PIXEL_MEAN, PIXEL_STD
from clipbert_mmf.modules.heads import find_head

MODEL_TYPE = "clipbert_mmf"
#: Of ``config.json``; a reader refuses a newer one.
FORMAT_VERSION = 1
CONFIG_FILE, PREPROCESSING_FILE = "config.json", "preprocessor_config.json"


@dataclass(frozen=True)
class Recipe:
    """A trained model's description.

    Attributes:
        model: ``model_config.clipbert`` with nothing left to defaults and no paths of the machine it was trained on.
        preprocessing: as in the run's evaluation.
        dataset: it was trained for; registry key.
        answers: the vocabulary by index, empty where the head has none.
        tokenizer: directory or hub name.
    """

    model: dict[str, Any]
    preprocessing: Preprocessing
    dataset: str = ""
    answers: tuple[str, ...] = ()
    tokenizer: str = ""

    def require_answers(self) -> None:
        """Raise ``RecipeError`` where the head classifies and not every output has an answer."""
        head = self.model["head"]
        if find_head(head["type"]).num_outputs is None and len(self.answers) != head["num_answers"]:
            raise RecipeError(
                f"the model has {head['num_answers']} outputs and {len(self.answers)} answers are known; give the "
                f"vocabulary it was trained with (a JSON file of answer -> index)"
            )


def clean_model_settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return model settings as they are published: complete, and without what the weights were started from."""
    model = merge(read_model_settings(), model)
    backbone = {"pixel_mean": list(PIXEL_MEAN), "pixel_std": list(PIXEL_STD), **model["backbone"]}
    weights = {"clipbert": None, "backbone": None, "transformer": None, "strict": False}
    return {
        **{key: value for key, value in model.items() if key != "model"},
        "backbone": backbone,
        "weights": weights,
    }


def choose_dataset(config: Mapping[str, Any], where: str, dataset: str | None = None) -> str:
    """Return which of a run's datasets a model is described for.

    Raises:
        RecipeError: if there are several and none is named, or the named one is not among them.
    """
    sections = select(config, "dataset_config", where)
    names = [
        name.strip() for name in str(config.get("datasets") or "").split(",") if name.strip() in sections
    ]
    names = names or sorted(sections)
    if dataset is None and len(names) > 1:
        raise RecipeError(
            f"{where} is of a run with several datasets: {names}; say which one's preprocessing to keep"
        )
    name = dataset or names[0]
    if name not in sections:
        raise RecipeError(f"{where} has no dataset '{name}'; it has {sorted(sections)}")
    return name


def keep_one_head(model: Mapping[str, Any], dataset: str) -> tuple[dict[str, Any], str | None]:
    """Return the settings of the network that serves one dataset, and the name of its head.

    Args:
        model: ``model_config.clipbert``; where it has no ``heads`` it comes back as it is, with no name.
        dataset: whose head to keep.

    Raises:
        RecipeError: if the dataset has none.
    """
    heads = model.get("heads") or {}
    if not heads:
        return dict(model), None
    if dataset not in heads:
        raise RecipeError(f"the model has no head for dataset '{dataset}'; it has {sorted(heads)}")
    own, owner = heads[dataset], heads[dataset].get("shares") or dataset
    given = {key: heads[owner][key] for key in find_head(own["type"]).settings if key in heads[owner]}
    head = {"type": own["type"], "num_answers": heads[owner].get("num_answers"), **given}
    losses = [
        {"type": loss["type"]}
        for loss in model.get("losses") or ()
        if isinstance(loss, Mapping) and dataset in ((loss.get("params") or {}).get("datasets") or [dataset])
    ]
    return {
        **model,
        "heads": {},
        "head": head,
        "fold": own.get("fold") or model["fold"],
        "losses": losses,
    }, owner


def recipe_of_run(
    config: Mapping[str, Any],
    where: str,
    dataset: str,
    *,
    folder: Path | None = None,
    num_answers: int | None = None,
    answers: str | Path | None = None,
) -> Recipe:
    """Take a model's description from the configuration of its run.

    Args:
        config: as MMF saved it, resolved.
        where: it came from, for messages.
        dataset: which of the run's, see ``choose_dataset``.
        folder: of the run, which keeps the answer vocabulary it was trained with.
        num_answers: outputs of the trained head, for a run that counted its answers itself.
        answers: the vocabulary's file, where it is not at the configured place any more.

    Raises:
        RecipeError: if something is missing.
    """
    model, _ = keep_one_head(clean_model_settings(select(config, "model_config.clipbert", where)), dataset)
    if find_head(model["head"]["type"]).num_outputs is None and not model["head"].get("num_answers"):
        model["head"] = {**model["head"], "num_answers": num_answers}
    section = select(config, f"dataset_config.{dataset}", where)
    place = f"{where}: dataset_config.{dataset}"
    recipe = Recipe(
        model,
        Preprocessing.from_dataset(section, place),
        dataset,
        tokenizer=str(select(section, "processors.text_processor.params.tokenizer", place)),
    )
    return replace(recipe, answers=_find_answers(section, dataset, place, folder, answers))


def _find_answers(
    section: Mapping[str, Any], name: str, where: str, run: Path | None, given: str | Path | None
) -> tuple[str, ...]:
    """Look where the user says, then in the run's folder, then where the run was told to look."""
    if given:
        return read_answers(given)
    written = run / f"answers_{name}.json" if run is not None else None
    if written is not None and written.is_file():
        return read_answers(written)
    root, setting = Path(str(section.get("data_dir") or ".")).expanduser(), section.get("answers")
    file = setting.get("file") if isinstance(setting, Mapping) else setting
    if not file or not root.is_dir():
        return ()
    try:
        return read_answers(find_file(root, str(file), f"{where}.answers"))
    except FileNotFoundError:  # the data lie elsewhere now; whoever needs the answers asks for them
        return ()


def read_answers(path: str | Path) -> tuple[str, ...]:
    """Read an answer vocabulary (a JSON object of answer -> index, or a list) as answers by index.

    Raises:
        FileNotFoundError: if the file is not there.
        AnnotationError: if it is neither, or its indices are not 0 to A-1.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"answer vocabulary '{path}': no such file")
    return tuple(sorted(vocabulary := read_vocabulary(Path(path)), key=vocabulary.get))


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Write ``config.json`` and ``preprocessor_config.json``."""
    config = {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "clipbert_mmf_version": clipbert_mmf.__version__,
        "dataset": recipe.dataset,
        "clipbert": recipe.model,
        "id2label": {str(index): answer for index, answer in enumerate(recipe.answers)},
    }
    for name, content in ((CONFIG_FILE, config), (PREPROCESSING_FILE, recipe.preprocessing.to_dict())):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_recipe(folder: Path) -> Recipe:
    """Read what ``write_recipe`` wrote; the folder is also where the tokenizer is.

    Raises:
        RecipeError: if a file is missing, damaged, of another kind of model, or of a newer version of this package.
    """
    config = _read_json(folder / CONFIG_FILE)
    if config.get("model_type") != MODEL_TYPE:
        raise RecipeError(
            f"{folder / CONFIG_FILE} is of a '{config.get('model_type')}' model, not of '{MODEL_TYPE}'. A BERT starts "
            f"a training: give it as model_config.clipbert.weights.transformer"
        )
    if not isinstance(config.get("format_version"), int) or config["format_version"] > FORMAT_VERSION:
        raise RecipeError(
            f"{folder / CONFIG_FILE} has format_version {config.get('format_version')!r} and this version of "
            f"clipbert_mmf reads up to {FORMAT_VERSION}; install a newer one"
        )
    labels = config.get("id2label") or {}
    try:
        answers = tuple(labels[str(index)] for index in range(len(labels)))
    except KeyError as error:
        raise RecipeError(f"{folder / CONFIG_FILE}: id2label lacks the index {error}") from error
    path = folder / PREPROCESSING_FILE
    return Recipe(
        clean_model_settings(select(config, "clipbert", str(folder / CONFIG_FILE))),
        Preprocessing.from_dict(_read_json(path), str(path)),
        str(config.get("dataset", "")),
        answers,
        str(folder),
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RecipeError(f"{path.parent} has no {path.name}; it is not a folder of a converted model")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path} is damaged, it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} is damaged: expected an object, found {type(content).__name__}")
    return content
