"""Describes a trained network beside its weights.

Takes the description from a run or a saved folder, and writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from clipbert_mmf.annotations.sources import find_file
from clipbert_mmf.annotations.vocabulary import read_vocabulary
from clipbert_mmf.configuration import to_plain
from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.settings import RecipeError, select
from clipbert_mmf.json_text import parse_json
from clipbert_mmf.models.config import (
    SECTION,
    HeadConfig,
    ModelConfig,
    WeightsConfig,
    dump_model_config,
    parse_model_config,
)
from clipbert_mmf.modules.heads import find_head
from clipbert_mmf.transforms.tokens import StoredTokenizer, keep_tokenizer, load_tokenizer
from clipbert_mmf.version import __version__
from clipbert_mmf.weights.trained_with import TrainedDataset, TrainedWith
from clipbert_mmf.writing import write_text_atomically

MODEL_TYPE = "clipbert_mmf"
#: Folder of a run that holds its tokenizer.
TOKENIZER_FOLDER = "tokenizer"
#: Format of ``config.json``; a reader refuses any other.
FORMAT_VERSION = 2
CONFIG_FILE, PREPROCESSING_FILE = "config.json", "preprocessor_config.json"


@dataclass(frozen=True)
class Recipe:
    """Everything that a trained network needs beside its weights.

    Attributes:
        model: configuration of the network, without paths of the machine it was trained on.
        preprocessing: as in the run's evaluation.
        dataset: registry key of the dataset it was trained for.
        answers: the vocabulary by index, empty where the head has none.
        tokenizer: directory or hub name.
    """

    model: ModelConfig
    preprocessing: Preprocessing
    dataset: str = ""
    answers: tuple[str, ...] = ()
    tokenizer: str = ""

    def require_answers(self) -> None:
        """Raise ``RecipeError`` where the head's outputs are answers and not every output has one."""
        head = self.model.head
        if _outputs_are_answers(head) and len(self.answers) != head.num_answers:
            raise RecipeError(
                f"the model has {head.num_answers} outputs and {len(self.answers)} answers are known; lay the "
                f"answers_<dataset>.json of its run beside the checkpoint, or give that vocabulary (a JSON file of "
                f"answer -> index) to clipbert convert --answers, in Python answers="
            )


def _outputs_are_answers(head: HeadConfig) -> bool:
    return find_head(head.type).num_outputs is None


def choose_dataset(config: Mapping[str, Any], where: str, dataset: str | None = None) -> str:
    """Return the dataset of a run that a model is described for.

    Args:
        config: configuration of the run.
        where: place of the configuration, for messages.
        dataset: registry key; None where the run has one dataset.

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
            f"{where} is of a run with several datasets: {names}; say which one's head and "
            f"preprocessing: --dataset {names[0]} (in Python, dataset=)"
        )
    name = dataset or names[0]
    if name not in sections:
        raise RecipeError(f"{where} has no dataset '{name}'; it has {sorted(sections)}")
    return name


def refuse_old_run(config: Mapping[str, Any], where: str) -> None:
    """Refuse the configuration of a run of version 0.1; those of other models than ClipBERT pass.

    Raises:
        RecipeError: if version 0.1 wrote it.
    """
    section = (config.get("model_config") or {}).get("clipbert")
    if section is not None and "type" not in (section.get("backbone") or {}):  # 0.2 saves it with every run
        raise RecipeError(
            f"{where} is of a run of clipbert_mmf 0.1, which this version does not read; train again, or "
            f"convert the run "
            f"with version 0.1 to the released format (tools/convert_weights.py --to released)"
        )


def parse_run_model(config: Mapping[str, Any], where: str) -> ModelConfig:
    """Parse ``model_config.clipbert`` of a run's configuration.

    Raises:
        RecipeError: if there is no such section, or version 0.1 wrote it.
        ConfigurationError: if it has a key or a value that cannot be used.
    """
    section = select(config, SECTION, where)
    refuse_old_run(config, where)
    return parse_model_config(section, f"{where}: {SECTION}")


def keep_one_head(model: ModelConfig, dataset: str) -> tuple[ModelConfig, str | None]:
    """Return the configuration of the network that serves one dataset, and the name of its head.

    Args:
        model: configuration; one without ``heads`` comes back as it is, with no name.
        dataset: registry key of the dataset whose head is kept.

    Raises:
        RecipeError: if the dataset has no head.
    """
    if not model.heads:
        return model, None
    if dataset not in model.heads:
        raise RecipeError(f"the model has no head for dataset '{dataset}'; it has {sorted(model.heads)}")
    own = model.heads[dataset]
    owner = own.shares or dataset
    shared = model.heads[owner]
    head = HeadConfig(own.type, shared.num_answers, shared.mean, shared.std, shared.options)
    losses = tuple(
        {"type": loss["type"]}
        for loss in model.losses
        if isinstance(loss, Mapping) and dataset in ((loss.get("params") or {}).get("datasets") or [dataset])
    )
    return replace(model, heads={}, head=head, fold=own.fold or model.fold, losses=losses), owner


def recipe_of_run(
    config: Mapping[str, Any],
    where: str,
    dataset: str,
    *,
    folder: Path | None = None,
    num_answers: int | None = None,
    answers: str | Path | None = None,
    tokenizer: str | Path | None = None,
    trained: TrainedDataset | None = None,
    checkpoint: str = "",
) -> Recipe:
    """Take a model's description from the configuration of its run.

    Args:
        config: as MMF saved it, resolved.
        where: place of the configuration, for messages.
        dataset: from ``choose_dataset``.
        folder: folder of the run, which keeps the answer vocabulary it was trained with.
        num_answers: outputs of the trained head, for a run that counted its answers itself.
        answers: the vocabulary's file, where it is not at the configured place any more.
        tokenizer: the tokenizer, where it is not at the configured place any more.
        trained: what the checkpoint says about the dataset; its answers and tokenizer are used wherever the
            configured ones lie now.
        checkpoint: the checkpoint, for messages.

    Raises:
        RecipeError: if something is missing, or ``answers`` or ``tokenizer`` are not those of the checkpoint.
        ConfigurationError: if the model's section has a key or a value that cannot be used.
    """
    model, _ = keep_one_head(parse_run_model(config, where), dataset)
    if _outputs_are_answers(model.head) and not model.head.num_answers:
        model = replace(model, head=replace(model.head, num_answers=num_answers))
    section = select(config, f"dataset_config.{dataset}", where)
    place = f"{where}: dataset_config.{dataset}"
    recipe = Recipe(
        replace(model, weights=WeightsConfig()), Preprocessing.from_dataset(section, place), dataset
    )
    if trained is not None and trained.answers:
        recipe = replace(recipe, answers=trained.answers)
        require_same_answers(recipe, answers, checkpoint)
    else:
        recipe = replace(recipe, answers=_find_answers(section, dataset, place, folder, answers))
    if trained is not None and trained.tokenizer is not None:
        recipe = replace(recipe, tokenizer=keep_tokenizer(trained.tokenizer, checkpoint))
        require_same_tokenizer(recipe, tokenizer, checkpoint)
        return recipe
    own = folder / TOKENIZER_FOLDER if folder is not None else None
    if tokenizer is None and own is not None and own.is_dir():
        tokenizer = own
    name = tokenizer or select(section, "processors.text_processor.params.tokenizer", place)
    return replace(recipe, tokenizer=str(name))


def require_same_answers(recipe: Recipe, answers: str | Path | None, where: str) -> None:
    """Raise ``RecipeError`` for a file of answers that are not those of the model; None passes."""
    if not answers or not recipe.answers:
        return
    given = read_answers(answers)
    if given != recipe.answers:
        raise RecipeError(
            f"{answers} has {describe_difference(given, recipe.answers)} than the model in {where} was trained "
            f"with; leave the file out, the model knows its answers"
        )


def describe_difference(given: Sequence[str], own: Sequence[str]) -> str:
    """Return in words how answers by index differ from others: ``12 answers, other ones (...)``."""
    places = [n for n, (one, other) in enumerate(zip(given, own, strict=False)) if one != other]
    if not places:
        return f"{len(given)} answers, not the same {len(own)},"
    n = places[0]
    return f"{len(given)} answers (number {n} is {given[n]!r}), others ({len(own)}, number {n} is {own[n]!r})"


def require_same_tokenizer(recipe: Recipe, tokenizer: str | Path | None, where: str) -> None:
    """Raise ``RecipeError`` for a tokenizer that is not the model's; None passes."""
    if not tokenizer:
        return
    given = StoredTokenizer.of(load_tokenizer(str(tokenizer)))
    own = StoredTokenizer.of(load_tokenizer(recipe.tokenizer))
    if given is None or own is None or given.identity != own.identity:
        raise RecipeError(
            f"'{tokenizer}' ({given.num_words if given else 'unknown'} words) is another tokenizer than the model "
            f"in {where} was trained with ({own.num_words if own else 'unknown'} words); leave it out, the model "
            f"has its own"
        )


def _find_answers(
    section: Mapping[str, Any], name: str, where: str, run: Path | None, given: str | Path | None
) -> tuple[str, ...]:
    """Read the vocabulary from the user's file, else from the run's folder, else from the configured file."""
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
    except (
        FileNotFoundError
    ):  # the data lie elsewhere now; ``require_answers`` raises where answers are needed
        return ()


def read_answers(path: str | Path) -> tuple[str, ...]:
    """Read an answer vocabulary (a JSON object of answer -> index, or a list) as answers by index.

    Raises:
        FileNotFoundError: if the file is not there.
        AnnotationError: if it is neither, or its indices are not 0 to A-1.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"answer vocabulary '{path}': no such file")
    vocabulary = read_vocabulary(Path(path))
    return tuple(sorted(vocabulary, key=lambda answer: vocabulary[answer]))


def trained_with_of(recipe: Recipe) -> TrainedWith:
    """Return the description that a checkpoint of the same model would hold."""
    clips = {key: to_plain(value) for key, value in asdict(recipe.preprocessing.clips).items()}
    text = {"max_length": recipe.preprocessing.max_text_tokens, "cut": recipe.preprocessing.text_cut}
    processors = {
        "text_processor": {"type": "clipbert_text", "params": text},
        "eval_media_processor": {"type": f"clipbert_{recipe.preprocessing.media}", "params": clips},
    }
    tokenizer = StoredTokenizer.of(load_tokenizer(recipe.tokenizer))
    dataset = TrainedDataset("", recipe.answers, None, tokenizer, recipe.tokenizer, processors)
    return TrainedWith({recipe.dataset: dataset}, dump_model_config(recipe.model))


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Write ``config.json`` and ``preprocessor_config.json``."""
    config = {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "clipbert_mmf_version": __version__,
        "dataset": recipe.dataset,
        "clipbert": dump_model_config(recipe.model),
        "id2label": {str(index): answer for index, answer in enumerate(recipe.answers)},
    }
    for name, content in ((CONFIG_FILE, config), (PREPROCESSING_FILE, recipe.preprocessing.to_dict())):
        write_text_atomically(json.dumps(content, indent=2, ensure_ascii=False) + "\n", folder / name)


def read_recipe(folder: Path) -> Recipe:
    """Read the files of ``write_recipe``. The tokenizer is in the same folder.

    Raises:
        RecipeError: if a file is missing, damaged, of another kind of model, or of another version of this
            package.
        ConfigurationError: if the model's section has a key or a value that cannot be used.
    """
    config = _read_json(folder / CONFIG_FILE)
    if config.get("model_type") != MODEL_TYPE:
        raise RecipeError(
            f"{folder / CONFIG_FILE} is of a '{config.get('model_type')}' model, not of '{MODEL_TYPE}'. A "
            f"BERT starts "
            f"a training: give it as model_config.clipbert.weights.transformer"
        )
    version = config.get("format_version")
    if version == 1:
        raise RecipeError(
            f"{folder / CONFIG_FILE} was written by clipbert_mmf 0.1, which this version does not read; "
            f"convert the model "
            f"with version 0.1 to the released format (tools/convert_weights.py --to released) and load that"
        )
    if version != FORMAT_VERSION:
        raise RecipeError(
            f"{folder / CONFIG_FILE} has format_version {version!r} and this version of clipbert_mmf reads "
            f"{FORMAT_VERSION}; install a newer one"
        )
    labels = config.get("id2label") or {}
    try:
        answers = tuple(labels[str(index)] for index in range(len(labels)))
    except KeyError as error:
        raise RecipeError(f"{folder / CONFIG_FILE}: id2label lacks the index {error}") from error
    path = folder / PREPROCESSING_FILE
    return Recipe(
        parse_model_config(
            select(config, "clipbert", str(folder / CONFIG_FILE)), f"{folder / CONFIG_FILE}: clipbert"
        ),
        Preprocessing.from_dict(_read_json(path), str(path)),
        str(config.get("dataset", "")),
        answers,
        str(folder),
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RecipeError(f"{path.parent} has no {path.name}; it is not a folder of a converted model")
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path} is damaged, it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} is damaged: expected an object, found {type(content).__name__}")
    return content
